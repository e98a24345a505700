/**
 * `npm run test:failover` breaks collectors, servers, disks, clocks and networks while agents send calls, and counts every
 * call afterwards: those that were made, the rows and sums in the database, and what the API says. Nothing may be lost and
 * nothing may be there twice. All on loopback, without containers. Needs root, Debian's patroni, etcd-server, haproxy and
 * postgresql-15, and a C compiler for the clock. Measured on two busy cores: 10 minutes.
 *
 *   --only LETTERS   of a b c d e f, without a space; default: all
 *   --keep           keeps the directories with the logs, and prints them
 *
 * Exit codes: 0 everything is right, 1 not so, 2 bad usage, 3 not root, or a program is missing.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitWith } from '../../cli/exit.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { Network } from '../support/collector/network.ts';
import { noSteppedClock, SteppedClock } from '../support/collector/stepped_clock.ts';
import { NO_POSTGRES, PostgresServer } from '../support/postgres.ts';
import { ownDirectory } from '../support/server_user.ts';
import { badNetwork, fullDisk } from './on_one_server.ts';
import { onPatroni } from './on_patroni.ts';
import { PatroniCluster } from './patroni_cluster.ts';
import { print, runScenario, seconds } from './scenario.ts';
import { COLLECTORS, Stage } from './stage.ts';

const PROGRAMS = [
  ['haproxy', '-v'],
  ['setpriv', '--version'],
];
/** Programs that servers with automatic failover need besides. */
const PROGRAMS_OF_PATRONI = [
  ['patroni', '--version'],
  ['etcd', '--version'],
];
const ON_PATRONI = /[abcf]/;
const LETTERS = 'abcdef';
/** Room for the tables of a test that stores some ten thousand calls. */
const SMALL_BYTES = 192 * 2 ** 20;

function checkMachine(only: string): void {
  if (process.getuid?.() !== 0)
    throw new OperatorError(3, 'This test needs root: it starts servers as another user.');
  if (NO_POSTGRES !== false) throw new OperatorError(3, NO_POSTGRES);
  for (const [program, ...args] of [...PROGRAMS, ...(ON_PATRONI.test(only) ? PROGRAMS_OF_PATRONI : [])]) {
    if (spawnSync(program!, args).status !== 0) {
      throw new OperatorError(3, `${program} is missing: apt-get install patroni etcd-server haproxy`);
    }
  }
}

interface Options {
  only: string;
  keep: boolean;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: { only: { type: 'string', default: LETTERS }, keep: { type: 'boolean', default: false } },
  });
  if (!/^[abcdef]+$/.test(values.only)) throw new OperatorError(2, `--only: must be some of ${LETTERS}`);
  return values;
}

function urlOf(port: number): string {
  return `postgres://imdswatch@127.0.0.1:${port}/imdswatch?sslmode=disable`;
}

async function runOnPatroni({ only, keep }: Options): Promise<string[]> {
  if (!ON_PATRONI.test(only)) return [];
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-patroni-'));
  // The servers run as another user.
  spawnSync('chmod', ['755', directory]);
  const clock = noSteppedClock() === false ? new SteppedClock(directory) : null;
  let cluster: PatroniCluster | null = null;
  let stage: Stage | null = null;
  const wrong: string[] = [];
  try {
    cluster = await PatroniCluster.start(directory);
    const made = cluster;
    stage = await Stage.open({
      // One collector knows no server, only the load balancer.
      stores: (port) => [made.url(0), made.url(1), urlOf(port)],
      databases: made.nodes,
      keeps: keep,
      ask: (sql) => made.query('imdswatch', sql),
      envOfFirst: clock?.env ?? {},
    });
    for (const scenario of onPatroni(cluster, clock)) {
      if (only.includes(scenario.letter)) wrong.push(...(await runScenario(scenario, stage)));
    }
  } finally {
    await stage?.close();
    await cluster?.close();
    if (keep) print(`logs: ${directory} ${stage?.directory ?? ''}`);
    else rmSync(directory, { recursive: true, force: true });
  }
  return wrong;
}

async function runOnOneServer({ only, keep }: Options): Promise<string[]> {
  if (!/[de]/.test(only)) return [];
  const mount = mkdtempSync(join(tmpdir(), 'imdswatch-small-'));
  const networks: Network[] = [];
  let server: PostgresServer | null = null;
  let stage: Stage | null = null;
  const wrong: string[] = [];
  mountSmall(mount);
  try {
    server = await PostgresServer.start({ tcp: true });
    const made = server;
    const space = join(mount, 'space');
    mkdirSync(space);
    ownDirectory(space);
    await server.query('postgres', 'CREATE ROLE imdswatch LOGIN');
    await server.query('postgres', `CREATE TABLESPACE small LOCATION '${space}'`);
    await server.query(
      'postgres',
      `CREATE DATABASE imdswatch OWNER imdswatch ENCODING 'UTF8' TEMPLATE template0 TABLESPACE small`,
    );
    for (let count = 0; count < COLLECTORS; count += 1) networks.push(await Network.to(server.port!));
    stage = await Stage.open({
      stores: () => networks.map(({ port }) => urlOf(port)),
      databases: [],
      keeps: keep,
      ask: (sql) => made.query('imdswatch', sql),
    });
    for (const scenario of [fullDisk(mount), badNetwork(networks, server)]) {
      if (only.includes(scenario.letter)) wrong.push(...(await runScenario(scenario, stage)));
    }
  } finally {
    await stage?.close();
    for (const network of networks) await network.close();
    await server?.close();
    spawnSync('umount', [mount]);
    rmSync(mount, { recursive: true, force: true });
  }
  return wrong;
}

/** Gives a directory a small file system of its own, in memory. */
function mountSmall(directory: string): void {
  const { status, stderr } = spawnSync(
    'mount',
    ['-t', 'tmpfs', '-o', `size=${SMALL_BYTES},mode=755`, 'tmpfs', directory],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new OperatorError(3, `A small file system cannot be mounted: ${stderr}`);
}

async function main(): Promise<number> {
  const options = readOptions();
  checkMachine(options.only);
  const beganMs = performance.now();
  const wrong = [...(await runOnPatroni(options)), ...(await runOnOneServer(options))];
  print(
    `${wrong.length === 0 ? 'everything is right' : `${wrong.length} WRONG`}, after ${seconds(performance.now() - beganMs)}`,
  );
  return wrong.length === 0 ? 0 : 1;
}

await exitWith(main);
