/** A group of attempts as tests: one host, one agent, and a `ready` verdict before the first attempt. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Evasion } from './evasion_lab.ts';
import { EvasionLab, type WatchOptions } from './evasion_lab.ts';

export const skip =
  process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';

/** Runs `body` with a lab that all groups of a file share. */
export function withEvasionLab(name: string, label: string, body: (lab: () => EvasionLab) => void): void {
  describe(name, { skip }, () => {
    let lab: EvasionLab | null = null;
    before(async () => {
      lab = await EvasionLab.open(label);
    });
    after(() => lab?.close());
    body(() => lab!);
  });
}

/** Declares one test for each attempt, and one for the host's verdict after all of them. */
export function attempts(
  lab: () => EvasionLab,
  name: string,
  evasions: readonly Evasion[],
  options: WatchOptions | (() => WatchOptions) = {},
): void {
  describe(name, () => {
    before(() => lab().watch(typeof options === 'function' ? options() : options));

    for (const evasion of evasions) {
      it(`${evasion.name} (${evasion.end}): ${evasion.tries}`, async (t) => {
        const why = evasion.unavailable?.() ?? null;
        if (why !== null) return t.skip(why);
        t.diagnostic(JSON.stringify(await lab().attempt(evasion)));
      });
    }

    it('the host is not ready, and what was lost is reported', async () => {
      const losses = lab().losses();
      await lab().stopAgent();
      const host = await lab().host();
      assert.notEqual(host?.verdict, 'ready');
      const gaps = host?.readiness.coverage.gaps.filter(({ reason }) => reason === 'losses') ?? [];
      const told = gaps.map(({ detail }) => detail).join('; ');
      for (const loss of Object.keys(losses)) assert.ok(told.includes(loss), `${loss} is in a gap: ${told}`);
    });
  });
}
