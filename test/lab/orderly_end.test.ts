/**
 * Tests that a watch that ends under constant calls claims what it has seen, and only that: the kernel reports
 * connections whose packets it still collects.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../../lab/lab.ts';
import { findPrograms, type Programs } from '../../lab/programs.ts';
import { IMDS_IPV4 } from '../../protocol/endpoints.ts';
import { Watcher } from '../support/lab/watcher.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const ROUNDS = 4;
const CALLS = 25;
/** Calls all the time, each on a connection of its own, until it is ended: several a collecting time of 40 ms. */
const CALLER = `
import itertools, socket, sys, time
for n in itertools.count():
    s = socket.create_connection(('${IMDS_IPV4}', 80))
    s.sendall(f'GET /latest/meta-data/{sys.argv[1]}-{n} HTTP/1.0\\r\\n\\r\\n'.encode())
    while s.recv(65536): pass
    s.close()
    time.sleep(0.004)
`;

describe('the end of a watch', { skip }, () => {
  let lab: Lab;
  let programs: Programs;
  before(async () => {
    programs = await findPrograms();
    lab = await Lab.create({ name: 'end', ipv6: false });
  });
  after(() => lab?.close());

  it('misses no connection that began before it, and counts none that began after it', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const argv = [process.execPath, MAIN, 'watch', '--json', '--attribution', 'ebpf'];
      const watcher = await Watcher.start(lab, argv);
      const caller = lab.spawn([programs.python3, '-c', CALLER, `round${round}`]);
      for (let waits = 0; waits < 2_000 && watcher.calls.length < CALLS; waits++) await sleep(10);
      const endMs = Date.now();
      await watcher.stop();
      await caller.stop();
      assert.ok(watcher.calls.length >= CALLS, watcher.complaints);
      assert.doesNotMatch(watcher.complaints, /coverage\./, `round ${round}`);
      const printed = new Set(watcher.calls.map((call) => call['url.path']));
      const requests = (await lab.metadata.log()).filter(({ target }) => target?.includes(`/round${round}-`));
      const before = requests.filter(({ time }) => Date.parse(time) < endMs);
      assert.ok(before.length >= CALLS);
      assert.deepEqual(
        before.filter(({ target }) => !printed.has(target)),
        [],
        `round ${round}`,
      );
    }
  });
});
