/**
 * `npm run test:fuzz`: the fuzzers alone, for longer than `npm test` does.
 *
 *   --seconds N   for each of them; default: 60
 *   --seed N      to repeat a run; default: a new one, which is printed
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
  },
});
const files = globSync(join(import.meta.dirname, '*.test.ts')).sort();
process.stderr.write(`seed ${values.seed}, ${values.seconds} s for each of ${files.length}\n`);
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=1', ...files], {
  stdio: 'inherit',
  env: { ...process.env, IMDSWATCH_FUZZ_SEED: values.seed, IMDSWATCH_FUZZ_SECONDS: values.seconds },
});
process.exit(status ?? 1);
