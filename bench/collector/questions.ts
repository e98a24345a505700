/** Measures how long the page's questions take on a store with a long past. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { ApiClient } from './api_client.ts';
import { Latencies, type Spread } from './latencies.ts';
import type { Past, PastAnswer, PastOrder, PastSize } from './past.ts';
import { databaseBytes, Subject } from './subject.ts';

const PAST = join(import.meta.dirname, 'past.ts');
/**
 * Days of retention: more than any store that is made here, so that nothing is deleted during the
 * measurement.
 */
const KEEP_DAYS = 3650;
const KEEP_BYTES = 1024 ** 4;
/** Number of offenders and hosts that are requested one after the other. */
const ASKED_ABOUT = 20;

export interface QuestionResult extends Spread {
  question: string;
  /** Time of the first request after the start. */
  first_ms: number;
  bytes: number;
}

export interface QuestionsResult {
  store: Past;
  disk_bytes: number;
  /** Bytes on disk per call: of all calls with those in roll-ups, and of those that are stored one by one. */
  disk_bytes_per_call: number;
  resident_bytes: number;
  questions: QuestionResult[];
}

/** Makes the store if the directory does not have it. */
export async function makePast(
  size: PastSize,
  dataDir: string,
  progress: (text: string) => void,
): Promise<Past> {
  const order: PastOrder = { ...size, dataDir };
  const child = fork(PAST, [JSON.stringify(order)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  let past: Past | null = null;
  let told = 0;
  child.on('message', (answer: PastAnswer) => {
    if ('past' in answer) past = answer.past;
    else if (answer.share >= told + 0.1) {
      told = answer.share;
      progress(`${(told * 100).toFixed(0)} % of ${size.calls} calls`);
    }
  });
  const [code] = await once(child, 'exit');
  if (past === null) throw new Error(`the store could not be made: its maker ended with ${code}`);
  return past;
}

export async function measureQuestions(
  size: PastSize,
  dataDir: string,
  bounds: { repetitions: number; questionMs: number },
  progress: (text: string) => void,
): Promise<QuestionsResult> {
  const store = await makePast(size, dataDir, progress);
  const subject = await Subject.start({ dataDir, tls: false });
  let client: ApiClient | null = null;
  try {
    client = new ApiClient(subject.apiUrl, await subject.personToken('admin'));
    await client.put('/api/v1/retention', {
      raw_days: KEEP_DAYS,
      rollup_days: KEEP_DAYS,
      max_bytes: KEEP_BYTES,
    });
    const questions: QuestionResult[] = [];
    for (const { question, paths } of await allQuestions(client, size.days)) {
      progress(question);
      questions.push(await ask(client, question, paths, bounds));
    }
    const residentBytes = subject.usage().residentBytes;
    client.close();
    await subject.stop();
    const diskBytes = databaseBytes(dataDir);
    return {
      store,
      disk_bytes: diskBytes,
      disk_bytes_per_call: diskBytes / store.calls,
      resident_bytes: residentBytes,
      questions,
    };
  } catch (error) {
    client?.close();
    subject.kill();
    throw error;
  }
}

async function allQuestions(
  client: ApiClient,
  days: number,
): Promise<{ question: string; paths: string[] }[]> {
  const offenders = idsIn((await client.get(`/api/v1/offenders?days=${days}&limit=${ASKED_ABOUT}`)).body);
  const hosts = idsIn(
    (await client.get(`/api/v1/hosts?days=${days}&sort=-calls_v1&limit=${ASKED_ABOUT}`)).body,
  );
  const two = (question: string, paths: string[]) =>
    [14, days].map((window) => ({
      question: `${question}, ${window} days`,
      paths: paths.map((path) => `${path}${path.includes('?') ? '&' : '?'}days=${window}`),
    }));
  return [
    ...two('overview', ['/api/v1/overview']),
    ...two('offenders', ['/api/v1/offenders']),
    ...two(
      'one offender',
      offenders.map((id) => `/api/v1/offenders/${id}`),
    ),
    ...two('hosts with readiness', ['/api/v1/hosts']),
    ...two(
      'one host',
      hosts.map((id) => `/api/v1/hosts/${id}`),
    ),
    ...two('readiness groups', [
      '/api/v1/readiness/groups?by=account',
      '/api/v1/readiness/groups?by=tag:team',
    ]),
    ...two(
      'calls of an offender',
      offenders.map((id) => `/api/v1/calls?offender=${id}`),
    ),
    ...two(
      'calls of a host',
      hosts.map((id) => `/api/v1/calls?host=${id}`),
    ),
    { question: 'metrics', paths: ['/metrics'] },
  ];
}

function idsIn(body: unknown): string[] {
  const ids = (body as { items: { id: string }[] }).items.map(({ id }) => id);
  if (ids.length === 0) throw new Error('the store answers with an empty list');
  return ids;
}

async function ask(
  client: ApiClient,
  question: string,
  paths: string[],
  { repetitions, questionMs }: { repetitions: number; questionMs: number },
): Promise<QuestionResult> {
  const latencies = new Latencies();
  const beganMs = performance.now();
  let first: { ms: number; bytes: number } | null = null;
  for (let count = 0; count < repetitions; count += 1) {
    const answer = await client.get(paths[count % paths.length]!);
    first ??= answer;
    latencies.add(answer.ms);
    if (performance.now() - beganMs > questionMs) break;
  }
  return { question, first_ms: first!.ms, bytes: first!.bytes, ...latencies.spread()! };
}
