/** The ways in which parts end, what agents and people may notice of each, and the account at the end. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { account } from '../support/collector/fleet/account.ts';
import { Fleet, WITH_CHANNEL } from '../support/collector/fleet/fleet.ts';
import { PageWatch } from '../support/collector/fleet/page_watch.ts';
import { patiently, type Stage } from './stage.ts';

const AGENTS = 30;
const CALLS_PER_SECOND = 100;
/** Time between two endings, in which everything is well. */
const CALM_MS = 5_000;
const RECOVERY_MS = 120_000;
/** The aim: a failover without a manual step, and the page back. */
const FAILOVER_LIMIT_MS = 30_000;

/** The longest pauses, in milliseconds. */
interface Pauses {
  /** Without an acknowledgement to anybody while records waited. */
  acknowledgements: number;
  page: number;
}

export interface Ending {
  /** A word for the command line. */
  name: string;
  title: string;
  /** Ends something, and resolves when everything is well again. */
  happen(stage: Stage, fleet: Fleet): Promise<void>;
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
  primaryEnds('primary', 'the primary is killed and started again', ['kill']),
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
  primaryEnds('stop', 'the primary is stopped in order (docker stop) and started again', [
    'stop',
    '--time',
    '120',
  ]),
  {
    name: 'standbys',
    title: 'both standbys are killed: nothing is acknowledged until one is back',
    happen: async (stage, fleet) => {
      const primary = await primaryOf(stage);
      const standbys = ['postgres-1', 'postgres-2', 'postgres-3'].filter((name) => name !== primary);
      await stage.docker.docker('kill', ...standbys.map((name) => stage.container(name)));
      await sleep(CALM_MS);
      const { acknowledged } = await fleet.look();
      await sleep(CALM_MS);
      if ((await fleet.look()).acknowledged > acknowledged) {
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

/** `how`: the command of docker that ends the container. */
function primaryEnds(name: string, title: string, how: readonly string[]): Ending {
  return {
    name,
    title,
    happen: async (stage) => {
      const before = await primaryOf(stage);
      await stage.docker.docker(...how, stage.container(before));
      await anotherPrimary(stage, before);
      await startAgain(stage, before);
      await allFollow(stage);
    },
    limits: { acknowledgements: FAILOVER_LIMIT_MS, page: FAILOVER_LIMIT_MS },
  };
}

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
  await patiently(`another primary than ${before}`, RECOVERY_MS, async () => {
    const primary = await stage.primary();
    return primary !== null && primary !== before;
  });
}

/** Waits until both standbys follow the primary. */
async function allFollow(stage: Stage): Promise<void> {
  await patiently('two standbys follow the primary', RECOVERY_MS, async () => {
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

async function startFleet(stage: Stage): Promise<Fleet> {
  const spools = join(stage.lab.home, 'spools');
  mkdirSync(spools);
  const orders = {
    url: 'wss://localhost:8787',
    token: stage.secret('agent_token'),
    caFile: join(stage.secrets, 'ca.crt'),
    directory: spools,
    agents: AGENTS,
    callsPerSecond: CALLS_PER_SECOND,
    idsFile: join(stage.lab.home, 'ids'),
  };
  return await Fleet.start(orders, (argv) => stage.lab.spawn(argv, { stdio: [...WITH_CHANNEL] }).child);
}

/** Lets all of these happen, one after the other. Returns false where something was lost or took too long. */
export async function letHappen(stage: Stage, endings: readonly Ending[]): Promise<boolean> {
  const created = await stage.exec(
    'collector-1',
    ...['imdswatch', 'token', 'create', '--json', '--kind', 'person', '--role', 'viewer', '--name', 'test'],
  );
  const { secret } = JSON.parse(created) as { secret: string };
  const fleet = await startFleet(stage);
  const page = new PageWatch(async () => (await stage.ask('/api/v1/overview', secret)).status);
  const takePauses = () => ({ acknowledgements: fleet.takePauses().ofAll, page: page.takeAwayMs() });
  let isRight = true;
  try {
    fleet.make(true);
    await sleep(CALM_MS);
    say(`nothing ends: ${text(takePauses())}`);
    for (const { title, happen, limits } of endings) {
      await happen(stage, fleet);
      await fleet.untilConnected();
      await sleep(CALM_MS);
      const pauses = takePauses();
      const isWithin = pauses.acknowledgements <= limits.acknowledgements && pauses.page <= limits.page;
      isRight &&= isWithin;
      say(`${title}: ${text(pauses)}${isWithin ? '' : `  TOO LONG, the limits are ${text(limits)}`}`);
    }
    const report = await fleet.settle(RECOVERY_MS);
    const primary = await primaryOf(stage);
    const ask = async (sql: string) => {
      const rows = await psql(
        stage,
        primary,
        'imdswatch',
        `SELECT coalesce(json_agg(r), '[]') FROM (${sql}) r`,
      );
      return JSON.parse(rows) as Record<string, unknown>[];
    };
    const api = async (path: string) => {
      const { status, body } = await stage.ask(path, secret);
      if (status !== 200) throw new Error(`${path} answers ${status} ${body}`);
      return body;
    };
    const counted = await account(report, fleet.ids(), ask, { HAProxy: api });
    isRight &&= counted.wrong.length === 0;
    say(counted.text);
    for (const line of counted.wrong) say(`WRONG: ${line}`);
  } finally {
    await page.end();
    await fleet.stop();
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
