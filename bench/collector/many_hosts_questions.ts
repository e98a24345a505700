/** Asks the page's questions about very many hosts, as a browser does. */
import { GROUP_ATTRIBUTES } from '../../common/group_id.ts';
import type { ApiClient } from './api_client.ts';
import { hostOf } from './fleet.ts';
import { Latencies, type Spread } from './latencies.ts';
import type { Subject } from './subject.ts';

const REPETITIONS = 40;
const QUESTION_MS = 5_000;
/** Offenders and hosts that are asked about in turn. */
const ASKED_ABOUT = 20;

/** A question that is asked again and again in other words, such as the next page of a list. */
interface Question {
  name: string;
  next: () => Promise<string>;
}

export interface Answered extends Spread {
  name: string;
  first_ms: number;
  /** Processor time of the collector for each answer. */
  processor_ms: number;
  resident_bytes: number;
}

const PATHS: [name: string, path: string][] = [
  ['overview', '/api/v1/overview'],
  ['offenders', '/api/v1/offenders'],
  ['offenders of a region', '/api/v1/offenders?region=eu-west-1'],
  ['hosts, worst first', '/api/v1/hosts'],
  ['hosts of a team, by name', '/api/v1/hosts?tag=team:data&sort=name'],
  ['hosts that are unproven', '/api/v1/hosts?verdict=unproven'],
  ['hosts of a region', '/api/v1/hosts?region=eu-west-1'],
  ['hosts of an account', '/api/v1/hosts?account=111122223333'],
  ['hosts by the last call', '/api/v1/hosts?sort=-last_v1'],
  ...GROUP_ATTRIBUTES.map((by): [string, string] => [`groups by ${by}`, `/api/v1/groups?by=${by}`]),
  ['groups by a tag', '/api/v1/groups?by=tag:team'],
  ['groups of a region', '/api/v1/groups?region=eu-west-1'],
  ['readiness groups by team', '/api/v1/readiness/groups?by=tag:team'],
  ['fix first', '/api/v1/fix-first'],
  ['burn-down', '/api/v1/burn-down?days=90'],
  ['calls, newest first', '/api/v1/calls'],
  ['metrics', '/metrics'],
];

interface Page {
  items: { id: string }[];
  next: string | null;
}

/** Calls `report` after each question. */
export async function askAll(
  client: ApiClient,
  subject: Subject,
  report: (answered: Answered) => void,
): Promise<void> {
  for (const [name, path] of PATHS) report(await ask(client, subject, { name, next: async () => path }));
  report(await ask(client, subject, pages(client, 'hosts, page after page', '/api/v1/hosts')));
  const { items } = (await client.get(`/api/v1/offenders?limit=${ASKED_ABOUT}`)).body as Page;
  const offender = inTurn(items.map(({ id }) => id));
  // Every tenth host calls without a token.
  const host = inTurn(Array.from({ length: ASKED_ABOUT }, (_, at) => hostOf(at * 10).id));
  const questions: Question[] = [
    { name: 'one offender', next: async () => `/api/v1/offenders/${offender()}` },
    { name: 'one host', next: async () => `/api/v1/hosts/${host()}` },
    { name: 'calls of an offender', next: async () => `/api/v1/calls?offender=${offender()}` },
    { name: 'calls of a host', next: async () => `/api/v1/calls?host=${host()}` },
    pages(client, 'calls of an offender, page after page', `/api/v1/calls?offender=${offender()}`),
    {
      name: 'calls with a path, of an offender',
      next: async () => `/api/v1/calls?offender=${offender()}&path=user-data`,
    },
  ];
  for (const question of questions) report(await ask(client, subject, question));
}

async function ask(client: ApiClient, subject: Subject, { name, next }: Question): Promise<Answered> {
  const latencies = new Latencies();
  const beganMs = performance.now();
  const beganSeconds = subject.usage().cpuSeconds;
  let first: number | null = null;
  for (let count = 0; count < REPETITIONS && performance.now() - beganMs < QUESTION_MS; count += 1) {
    const { ms } = await client.get(await next());
    first ??= ms;
    latencies.add(ms);
  }
  const spread = latencies.spread()!;
  const { residentBytes, cpuSeconds } = subject.usage();
  return {
    name,
    first_ms: first!,
    ...spread,
    processor_ms: ((cpuSeconds - beganSeconds) * 1000) / spread.count,
    resident_bytes: residentBytes,
  };
}

/** Returns a question for each page of a list after the other. */
function pages(client: ApiClient, name: string, path: string): Question {
  let cursor: string | null = null;
  const pathNow = () =>
    cursor === null ? path : `${path}${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}`;
  return {
    name,
    next: async () => {
      const asked = pathNow();
      cursor = ((await client.get(asked)).body as Page).next;
      return pathNow();
    },
  };
}

function inTurn<T>(values: readonly T[]): () => T {
  let at = 0;
  return () => values[at++ % values.length]!;
}
