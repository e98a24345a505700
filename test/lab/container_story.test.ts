/** The demo's second act does what it says, by the metadata service's own log. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { prepareContainerStory } from '../../lab/container_story.ts';
import { Lab } from '../../lab/lab.ts';
import { Ledger } from '../../lab/ledger.ts';
import { findPrograms, installSdks } from '../../lab/programs.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and runs containers';

describe("the demo's second act", () => {
  it('is played by real containers, each request with its container', { skip }, async (t) => {
    const programs = await findPrograms();
    await installSdks((line) => t.diagnostic(line));
    const lab = await Lab.create({ name: 'secondact', ipv6: false });
    try {
      const ledger = new Ledger(lab);
      const { acts, notAvailable } = await prepareContainerStory(lab, programs, ledger);
      if (notAvailable !== null) return t.skip(notAvailable);
      for (const act of acts) await act.play();
      assert.deepEqual(await ledger.surprises(), []);
      const truths = await ledger.truths();
      assert.deepEqual(
        truths.map(({ workload, version, fallback, unheard }) => [
          workload?.container?.name,
          version,
          fallback ?? null,
          unheard ?? false,
        ]),
        [
          ['nightly-job', 1, null, false],
          ['node-exporter', 1, null, false],
          ['orders', 2, null, true],
          ['orders', 1, 'token_unanswered', false],
          ['orders', 1, 'token_unanswered', false],
        ],
      );
      const addresses = truths.map(({ clientAddress }) => clientAddress);
      assert.equal(addresses[1], lab.hostAddresses.ipv4);
      for (const index of [0, 2, 3, 4]) assert.match(addresses[index]!, /^172\.17\./);
    } finally {
      await lab.close();
    }
  });
});
