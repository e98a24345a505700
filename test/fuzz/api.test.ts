/** The collector's API against requests that its own document describes, and against what is no such request. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { TOKEN } from '../support/collector/processes.ts';
import { AnswerRules, type FuzzAnswer } from './api_answers.ts';
import { type ApiDocument, type FuzzRequest, type Role, requestOf } from './api_requests.ts';
import { PopulatedCollector } from './populated_collector.ts';
import { fuzzSettings, howToRepeat, timeBoxed } from './settings.ts';

/** One principal may ask a hundred times a second. */
const PRINCIPALS = 3;
const MOST_RESIDENT_BYTES = 600e6;
const TIMEOUT_MS = 20_000;
/** Only the beginning of a live feed is read. */
const FEED_MS = 30;

let collector: PopulatedCollector;
const tokens: Record<Role, (string | null)[]> = { nobody: [null], viewer: [], admin: [], wrong: [] };
let turn = 0;

before(async () => {
  collector = await PopulatedCollector.start();
  for (const role of ['viewer', 'admin'] as const) {
    for (let count = 0; count < PRINCIPALS; count += 1) {
      tokens[role].push(collector.personToken(role, `${role}-${count}`));
    }
  }
  tokens.wrong.push('not-a-token', `${tokens.admin[0]}x`, '');
});
after(() => collector?.end());

async function send({ method, path, role, headers, body }: FuzzRequest): Promise<FuzzAnswer> {
  const shown = tokens[role][turn++ % tokens[role].length];
  const beganMs = performance.now();
  const isFeed = path.startsWith('/api/v1/live');
  const ending = new AbortController();
  const response = await fetch(`${collector.url}${path}`, {
    method,
    redirect: 'manual',
    signal: AbortSignal.any([ending.signal, AbortSignal.timeout(TIMEOUT_MS)]),
    headers: { ...headers, ...(shown !== null && { authorization: `Bearer ${shown}` }) },
    // A body on a question is refused by fetch itself before it is sent.
    ...(body !== null && method !== 'GET' && { body }),
  });
  let text = '';
  if (isFeed && response.status === 200) {
    setTimeout(() => ending.abort(), FEED_MS);
    await response.text().catch(() => {});
  } else {
    text = await response.text();
  }
  return { status: response.status, headers: response.headers, text, ms: performance.now() - beganMs };
}

test('no request makes the API fail, tell a secret or answer otherwise than documented', async (t) => {
  const settings = fuzzSettings();
  t.diagnostic(howToRepeat(settings));
  const document = (await (
    await fetch(`${collector.url}/api/v1/openapi.json`, {
      headers: { authorization: `Bearer ${tokens.viewer[0]}` },
    })
  ).json()) as ApiDocument;
  const offenders = (await (
    await fetch(`${collector.url}/api/v1/offenders`, {
      headers: { authorization: `Bearer ${tokens.viewer[0]}` },
    })
  ).json()) as { items: { id: string }[] };
  const ids = [...collector.hosts, ...offenders.items.slice(0, 3).map(({ id }) => id)];
  const secrets = [TOKEN, ...tokens.viewer, ...tokens.admin].filter((text) => text !== null);
  const rules = new AnswerRules(document, secrets);
  const statuses = new Map<number, number>();
  const answered = new Set<string>();
  await fc.assert(
    fc.asyncProperty(requestOf(document, ids), async (request) => {
      const answer = await send(request);
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer.status < 300) answered.add(`${request.method} ${request.template}`);
      rules.check(request, answer);
    }),
    timeBoxed(settings),
  );
  t.diagnostic(
    `answers: ${[...statuses].map(([status, count]) => `${count} × ${status}`).join(', ')}; ${answered.size} operations succeeded`,
  );
  assert.ok(collector.isAlive, collector.log);
  // Requests that nobody signed have used up what an address may ask; it comes back.
  let health = 0;
  const isHealthy = async () => {
    health = (await fetch(`${collector.url}/healthz`)).status;
  };
  await isHealthy();
  while (health === 429) await isHealthy();
  assert.equal(health, 200);
  assert.ok(collector.residentBytes() < MOST_RESIDENT_BYTES, `${collector.residentBytes()} bytes resident`);
  for (const secret of secrets) assert.ok(!collector.log.includes(secret), 'a secret was logged');
  const total = [...statuses.values()].reduce((sum, count) => sum + count, 0);
  assert.ok((statuses.get(429) ?? 0) < total / 2, 'most requests got past the limits on rate');
});
