/**
 * `npm run test:ha` runs docker/compose.ha.yaml in a lab and stores the calls of a fleet through HAProxy. Meanwhile
 * collectors and the primary of the database end in several ways. At the end every call must be stored once. Needs root,
 * Docker and docker-compose, mmdebstrap, and Debian 12 for the packages.
 *
 *   --only NAME,…  only these endings: drain, collector, primary, network, stop, standbys, etcd, haproxy
 *
 * Exit codes: 0 nothing was lost, and every pause was within its limit; 1 not so; 2 bad usage; 3 a program is missing.
 */
import { parseArgs } from 'node:util';
import { exitWith } from '../../cli/exit.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { ENDINGS, letHappen } from './endings.ts';
import { Stage } from './stage.ts';

async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: { only: { type: 'string' } } });
  const only = values.only?.split(',') ?? ENDINGS.map(({ name }) => name);
  const unknown = only.filter((word) => !ENDINGS.some(({ name }) => name === word));
  if (unknown.length > 0) {
    const names = ENDINGS.map(({ name }) => name).join(', ');
    throw new OperatorError(
      2,
      `--only is "${values.only}": there is no ${unknown.join(', ')}. There are: ${names}.`,
    );
  }
  const stage = await Stage.open();
  try {
    return (await letHappen(
      stage,
      ENDINGS.filter(({ name }) => only.includes(name)),
    ))
      ? 0
      : 1;
  } finally {
    await stage.close();
  }
}

await exitWith(() => main(process.argv.slice(2)));
