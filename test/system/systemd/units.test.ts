/** The unit files as systemd itself reads them; how they work is machine.test.ts's. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';

const DIRECTORY = join(import.meta.dirname, '../../../systemd');
const UNITS = globSync(join(DIRECTORY, '*.service')).sort();
const DROP_INS = globSync(join(DIRECTORY, '*.conf')).sort();
const hasAnalyze = spawnSync('systemd-analyze', ['--version']).status === 0;
const skip = hasAnalyze ? false : 'systemd-analyze is missing (the package systemd)';

function analyze(...args: string[]): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
  return { status, said: stdout + stderr };
}

/** Exposure by `systemd-analyze security`: 0 is best, 10 worst. */
function exposure(unit: string): number {
  const { said } = analyze('security', '--no-pager', '--offline=true', unit);
  return Number(/Overall exposure level for \S+: ([\d.]+)/.exec(said)?.[1]);
}

/** A unit as it is with a drop-in: directives of lists add up, later single values win. */
function withDropIn(unit: string, dropIn: string, check: (path: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'units-'));
  try {
    const path = join(directory, basename(unit));
    const [section, install] = readFileSync(unit, 'utf8').split('[Install]');
    const body = readFileSync(join(DIRECTORY, dropIn), 'utf8').replace(/^\[Service\]$/m, '');
    writeFileSync(path, `${section}${body}\n[Install]${install}`);
    check(path);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe('the units', () => {
  it('are exposed no more than they say', { skip }, () => {
    const [agent, collector] = UNITS as [string, string];
    assert.ok(exposure(collector) <= 2.5);
    assert.ok(exposure(agent) <= 4);
    withDropIn(agent, 'other-namespaces.conf', (path) => {
      const more = exposure(path);
      assert.ok(more > exposure(agent) && more <= 4, String(more));
    });
  });

  it('have nothing in them that systemd does not know', { skip }, () => {
    for (const unit of UNITS) {
      const { said } = analyze('verify', '--man=no', unit);
      // Not installed here.
      const rest = said
        .split('\n')
        .filter((line) => line !== '' && !/Command \S+ is not executable/.test(line));
      assert.deepEqual(rest, []);
    }
  });

  it('are understood with the drop-ins for an old systemd, which take filter and user away', { skip }, () => {
    const [agent] = UNITS as [string, string];
    const kept = readFileSync(agent, 'utf8');
    for (const name of ['old-systemd-filter.conf', 'old-systemd-root.conf']) {
      withDropIn(agent, name, (path) => {
        const { said } = analyze('verify', '--man=no', path);
        assert.doesNotMatch(said, /Unknown|ignoring|Failed to parse/, said);
        const text = readFileSync(path, 'utf8');
        const last = (key: string) => [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].at(-1)?.[1];
        if (name.includes('root')) assert.equal(last('User'), 'root');
        else assert.equal(last('SystemCallFilter'), '');
      });
    }
    // A name that systemd does not know is ignored, and the number is not.
    assert.match(kept, /^CapabilityBoundingSet=.* 38 39 /m);
    assert.match(kept, /^AmbientCapabilities=.* 38 39 /m);
  });

  it('say of each capability why', () => {
    for (const file of [...UNITS, ...DROP_INS]) {
      const text = readFileSync(file, 'utf8');
      const given = [...text.matchAll(/^(?:CapabilityBoundingSet|AmbientCapabilities)=(.*)$/gm)];
      const names = new Set(given.flatMap(([, list]) => (list ?? '').split(' ')).filter(Boolean));
      for (const name of names) assert.match(text, new RegExp(`^#.*\\b${name}\\b`, 'm'), `${file}: ${name}`);
    }
  });

  it('never give up, and never run as root', () => {
    for (const unit of UNITS) {
      const text = readFileSync(unit, 'utf8');
      assert.match(text, /^StartLimitIntervalSec=0$/m);
      assert.match(text, /^Restart=on-failure$/m);
      assert.match(text, /^User=imdswatch-(agent|collector)$/m);
    }
  });
});
