/**
 * `npm run test:campaign`: random faults against a real agent and a real collector under load, in a lab, with the metadata
 * service's own log as the truth. Needs root.
 *
 *   --minutes N   how long; default: 20
 *   --seed N      which faults, and when; default: a new one, which is printed
 *   --rate N      calls a second; default: 48
 *   --plan        prints the plan of the seed and does nothing
 *
 * Exit codes: 0 every answered call is stored once or lies in a gap that the collector lists; 1 not so (the logs are kept);
 * 2 bad usage; 3 not permitted.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { exitWith } from '../../cli/exit.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { runCampaign } from './campaign.ts';
import { partsOf } from './parts.ts';
import { describeFault } from './plan.ts';
import { detailsOf, hasPassed, sharesTable, tableOf } from './report.ts';

const ROLLED_UP_SHARE = 0.2;

function settings(argv: string[]) {
  try {
    const { values } = parseArgs({
      args: argv,
      options: {
        minutes: { type: 'string', default: '20' },
        seed: { type: 'string', default: String(randomInt(2 ** 31 - 1)) },
        rate: { type: 'string', default: '48' },
        plan: { type: 'boolean', default: false },
      },
    });
    const [minutes, seed, rate] = [values.minutes, values.seed, values.rate].map(Number);
    if (!(minutes! >= 0.5 && minutes! <= 24 * 60))
      throw new Error(`--minutes ${values.minutes}: 0.5 or more`);
    if (!Number.isInteger(seed) || seed! < 0) throw new Error(`--seed ${values.seed}: a whole number`);
    if (!(rate! >= 1 && rate! <= 1000)) throw new Error(`--rate ${values.rate}: 1 to 1000`);
    return { minutes: minutes!, seed: seed!, rate: rate!, plan: values.plan };
  } catch (error) {
    throw new OperatorError(2, (error as Error).message);
  }
}

async function main(): Promise<number> {
  const { minutes, seed, rate, plan } = settings(process.argv.slice(2));
  const lengthMs = minutes * 60_000;
  if (plan) {
    const faults = partsOf({ seed, lengthMs, rolledUpShare: ROLLED_UP_SHARE }).flatMap((part) => part.plan);
    process.stdout.write(`${faults.map(describeFault).join('\n')}\n`);
    return 0;
  }
  const again = `npm run test:campaign -- --seed ${seed} --minutes ${minutes} --rate ${rate}`;
  process.stderr.write(`${again}\n`);
  const result = await runCampaign({
    seed,
    lengthMs,
    perSecond: rate,
    rolledUpShare: ROLLED_UP_SHARE,
    say: (line) => process.stderr.write(`${line}\n`),
  });
  const passed = hasPassed(result);
  process.stdout.write(`${result.plan.map(describeFault).join('\n')}\n\n`);
  process.stdout.write(`${tableOf(result)}\n\n${sharesTable(result)}\n\n${detailsOf(result)}\n`);
  process.stdout.write(`${result.plan.length} faults, seed ${seed}. To run it again: ${again}\n`);
  if (!passed) process.stdout.write(`FAILED; the logs are in ${result.logDir}\n`);
  await result.close(!passed);
  return passed ? 0 : 1;
}

await exitWith(main);
