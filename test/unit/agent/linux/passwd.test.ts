import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import fc from 'fast-check';
import { parsePasswd, UserNames } from '../../../../agent/linux/passwd.ts';
import { parseBootTime, startTime } from '../../../../agent/linux/start_time.ts';

it('passwd: first line of a uid counts, broken and NIS lines do not', () => {
  const text =
    'root:x:0:0::/:/bin/sh\n# x:y:7:7\ntoor:x:0:0::/:\n+nis:x:5:5::/:\n:x:6:6::/:\nbad:x:seven:7\nshort:x:8\nweb:x:33:33:a:b:c';
  assert.deepEqual(
    [...parsePasswd(text)],
    [
      [0, 'root'],
      [33, 'web'],
    ],
  );
});

it('passwd: takes any text', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const [uid, name] of parsePasswd(text)) assert.ok(Number.isInteger(uid) && name.length > 0);
    }),
  );
});

it('passwd is read again when it changes; without it users have no names', () => {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-passwd-'));
  try {
    const path = join(directory, 'passwd');
    let now = 0;
    writeFileSync(path, 'one:x:1:1::/:\n');
    const users = new UserNames(path, () => now);
    assert.equal(users.nameOf(1), 'one');
    writeFileSync(path, 'first:x:1:1::/:\n');
    assert.equal(users.nameOf(1), 'one');
    now = 1000;
    assert.equal(users.nameOf(1), 'first');
    rmSync(path);
    now = 2000;
    assert.equal(users.nameOf(1), null);
    assert.deepEqual(users.counters(), { passwd_readings: 2, passwd_unreadable: 1 });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

it('start time: RFC 3339 with hundredths, from ticks since boot', () => {
  assert.equal(parseBootTime('cpu 1 2\nbtime 1700000000\nprocesses 5\n'), 1_700_000_000);
  assert.equal(parseBootTime('cpu 1 2\n'), null);
  assert.equal(startTime(0, 1_700_000_000), '2023-11-14T22:13:20.00Z');
  assert.equal(startTime(12_307, 1_700_000_000), '2023-11-14T22:15:23.07Z');
});
