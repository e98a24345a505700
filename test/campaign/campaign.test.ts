/** A short campaign with one seed: every answered call is stored once, or lies in a gap that the collector lists. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { noSteppedClock } from '../support/collector/stepped_clock.ts';
import { runCampaign } from './campaign.ts';
import { detailsOf, hasPassed, tableOf } from './report.ts';

const LENGTH_MS = 75_000;
const SEED = 10168;
const PER_SECOND = 40;

const missing = ['ip', 'nft', 'curl', 'nsenter'].find((tool) => spawnSync(tool, ['-V']).error !== undefined);
const skip =
  process.getuid?.() !== 0
    ? 'needs root: builds network namespaces and captures packets'
    : missing === undefined
      ? noSteppedClock()
      : `needs ${missing}`;

test('after faults of every kind each answered call is stored once or lies in a gap', { skip }, async (t) => {
  const say = (line: string) => t.diagnostic(line);
  const result = await runCampaign({
    seed: SEED,
    lengthMs: LENGTH_MS,
    perSecond: PER_SECOND,
    rolledUpShare: 0.2,
    say,
  });
  const passed = hasPassed(result);
  const report = `${tableOf(result)}\n${detailsOf(result)}`;
  say(report);
  await result.close(!passed);
  assert.ok(passed, `${report}\nThe logs are in ${result.logDir}`);
  // Most of the load lies outside the faults: a campaign that hides in its own gaps proves nothing.
  assert.ok(result.whole.stored > result.whole.answered / 3, report);
});
