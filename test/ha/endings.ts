/** The ways in which parts end, what agents and people may notice of each, and the account at the end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, type Stage } from './stage.ts';
import { type Pauses, Watch } from './watch.ts';

const AGENTS = 30;
const CALLS_PER_SECOND = 100;
/** Time between two endings, in which everything is well. */
const CALM_MS = 5_000;
const RECOVERY_MS = 120_000;
/** The aim: a failover without a manual step, and the page back. */
const FAILOVER_LIMIT_MS = 30_000;

export interface Ending {
  /** A word for the command line. */
  name: string;
  title: string;
  /** Ends something, and resolves when everything is well again. */
  happen(stage: Stage, watch: Watch): Promise<void>;
  limits: Pauses;
}

export const ENDINGS: readonly Ending[] = [
  {
    name: 'drain',
    title: 'a collector is drained (docker stop) and started again',
    happen: async (stage) => {
      await stage.docker.docker('stop', '--time', '60', stage.container('collector-1'));
      await startAgain(stage, 'collector-1');
    },
    limits: { acknowledgements: 5_000, page: 5_000 },
  },
  {
    name: 'collector',
    title: 'a collector is killed and started again',
    happen: async (stage) => {
      await stage.docker.docker('kill', stage.container('collector-2'));
      await sleep(CALM_MS);
      await startAgain(stage, 'collector-2');
    },
    limits: { acknowledgements: 10_000, page: 10_000 },
  },
  {
    name: 'primary',
    title: 'the primary is killed and started again',
    happen: async (stage) => {
      const before = await primaryOf(stage);
      await stage.docker.docker('kill', stage.container(before));
      await anotherPrimary(stage, before);
      await startAgain(stage, before);
      await allFollow(stage);
    },
    limits: { acknowledgements: FAILOVER_LIMIT_MS, page: FAILOVER_LIMIT_MS },
  },
  {
    name: 'network',
    title: "the primary's network is cut and mended",
    happen: async (stage) => {
      const before = await primaryOf(stage);
      const networks = ['imdswatch-ha_cluster', 'imdswatch-ha_database'];
      for (const network of networks) {
        await stage.docker.docker('network', 'disconnect', network, stage.container(before));
      }
      await anotherPrimary(stage, before);
      for (const network of networks) {
        await stage.docker.docker('network', 'connect', '--alias', before, network, stage.container(before));
      }
      await allFollow(stage);
    },
    limits: { acknowledgements: FAILOVER_LIMIT_MS, page: FAILOVER_LIMIT_MS },
  },
  {
    name: 'stop',
    title: 'the primary is stopped in order (docker stop) and started again',
    happen: async (stage) => {
      const before = await primaryOf(stage);
      await stage.docker.docker('stop', '--time', '120', stage.container(before));
      await anotherPrimary(stage, before);
      await startAgain(stage, before);
      await allFollow(stage);
    },
    limits: { acknowledgements: FAILOVER_LIMIT_MS, page: FAILOVER_LIMIT_MS },
  },
  {
    name: 'standbys',
    title: 'both standbys are killed: nothing is acknowledged until one is back',
    happen: async (stage, watch) => {
      const primary = await primaryOf(stage);
      const standbys = ['postgres-1', 'postgres-2', 'postgres-3'].filter((name) => name !== primary);
      await stage.docker.docker('kill', ...standbys.map((name) => stage.container(name)));
      await sleep(CALM_MS);
      const { waiting } = watch.report;
      await sleep(CALM_MS);
      if (watch.report.waiting < waiting + CALLS_PER_SECOND) {
        throw new Error('Calls were acknowledged without a standby.');
      }
      await stage.docker.docker('start', ...standbys.map((name) => stage.container(name)));
      await allFollow(stage);
    },
    limits: { acknowledgements: 60_000, page: 60_000 },
  },
  {
    name: 'etcd',
    title: 'one of three etcd is killed and started again',
    happen: async (stage) => {
      await stage.docker.docker('kill', stage.container('etcd-1'));
      await sleep(3 * CALM_MS);
      await startAgain(stage, 'etcd-1');
    },
    limits: { acknowledgements: 5_000, page: 5_000 },
  },
  {
    name: 'haproxy',
    title: 'HAProxy is killed and started again',
    happen: async (stage) => {
      await stage.docker.docker('kill', stage.container('haproxy'));
      await startAgain(stage, 'haproxy');
    },
    limits: { acknowledgements: FAILOVER_LIMIT_MS, page: FAILOVER_LIMIT_MS },
  },
];

async function startAgain(stage: Stage, service: string): Promise<void> {
  await stage.docker.docker('start', stage.container(service));
  await stage.whenHealthy(service);
}

async function primaryOf(stage: Stage): Promise<string> {
  const primary = await stage.primary();
  if (primary === null) throw new Error('There is no primary.');
  return primary;
}

async function anotherPrimary(stage: Stage, before: string): Promise<void> {
  await eventually(`another primary than ${before}`, RECOVERY_MS, async () => {
    const primary = await stage.primary();
    return primary !== null && primary !== before;
  });
}

/** Waits until both standbys follow the primary. */
async function allFollow(stage: Stage): Promise<void> {
  await eventually('two standbys follow the primary', RECOVERY_MS, async () => {
    const primary = await stage.primary();
    if (primary === null) return false;
    const question = 'SELECT count(*) FROM pg_stat_replication WHERE state = $$streaming$$';
    return (await psql(stage, primary, 'postgres', question).catch(() => '')) === '2';
  });
}

async function psql(stage: Stage, service: string, database: string, question: string): Promise<string> {
  const flags = [
    '--no-psqlrc',
    '--tuples-only',
    '--no-align',
    '--username',
    'postgres',
    '--dbname',
    database,
  ];
  return await stage.exec(service, 'psql', ...flags, '--command', question);
}

/** Waits until everything that was made is acknowledged, as far as that goes under load. */
async function calm(watch: Watch): Promise<void> {
  await eventually('the agents have sent what waited', RECOVERY_MS, async () => {
    const { waiting, connected } = watch.report;
    return connected === AGENTS && waiting < 5 * CALLS_PER_SECOND;
  });
  await sleep(CALM_MS);
}

/** Lets all of these happen, one after the other. Returns false where something was lost or took too long. */
export async function letHappen(stage: Stage, endings: readonly Ending[]): Promise<boolean> {
  const created = await stage.exec(
    'collector-1',
    ...['imdswatch', 'token', 'create', '--json', '--kind', 'person', '--role', 'viewer', '--name', 'test'],
  );
  const watch = new Watch(
    stage,
    { agents: AGENTS, callsPerSecond: CALLS_PER_SECOND },
    (JSON.parse(created) as { secret: string }).secret,
  );
  let isRight = true;
  try {
    await calm(watch);
    say(`nothing ends: ${text(watch.takePauses())}`);
    for (const { title, happen, limits } of endings) {
      await happen(stage, watch);
      await calm(watch);
      const pauses = watch.takePauses();
      const isWithin = pauses.acknowledgements <= limits.acknowledgements && pauses.page <= limits.page;
      isRight &&= isWithin;
      say(`${title}: ${text(pauses)}${isWithin ? '' : `  TOO LONG, the limits are ${text(limits)}`}`);
    }
  } finally {
    const { made, waiting } = await watch.end();
    const primary = await primaryOf(stage);
    const rows = await psql(stage, primary, 'imdswatch', 'SELECT count(*), count(DISTINCT id) FROM calls');
    const sums = await psql(stage, primary, 'imdswatch', 'SELECT sum(count) FROM hourly');
    const isEqual = waiting === 0 && rows === `${made}|${made}` && sums === String(made);
    isRight &&= isEqual;
    say(
      `${made} calls made, ${waiting} not acknowledged, stored and distinct ${rows}, hourly sums ${sums}: ${isEqual ? 'equal' : 'NOT EQUAL'}`,
    );
  }
  return isRight;
}

function text({ acknowledgements, page }: Pauses): string {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  return `longest without an acknowledgement ${seconds(acknowledgements)}, page away ${seconds(page)}`;
}

function say(line: string): void {
  process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);
}
