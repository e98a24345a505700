/** The follower against a server that answers, is away, and says what was lost, as the test wants. */
import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, test } from 'node:test';
import { CollectorClient } from '../../../../cli/collector_client/collector_client.ts';
import { CALLS_LOST, type FollowOptions, followCalls } from '../../../../cli/follow/follow_calls.ts';
import type { FollowedCall } from '../../../../collector/contract/followed_calls.ts';
import { OperatorError } from '../../../../common/operator_error.ts';
import { makeCall } from '../../../support/collector/calls.ts';

type Answer = (response: ServerResponse) => void;
const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

const served = (): FollowedCall => ({
  ...makeCall(),
  offender: '0123456789abcdef',
  stored: '2026-11-29T08:00:00.000000Z',
});
const page = (next: string, calls: readonly FollowedCall[] = [], deleted = 0, waiting = 1): Answer => {
  return (response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ items: calls, next, deleted, waiting }));
  };
};
const problem = (status: number, detail: string): Answer => {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ type: 'about:blank', title: '', status, detail, instance: '/' }));
  };
};
const cutOff: Answer = (response) => response.destroy();

/** Starts a server that gives the answers one after the other, and then nothing new. */
async function serve(answers: Answer[]) {
  const asked: string[] = [];
  const left = [...answers];
  const server = createServer((request, response) => {
    asked.push(new URL(request.url!, 'http://x').searchParams.get('after') ?? '');
    const answer = left.shift();
    if (answer === undefined) page(asked.at(-1)!, [], 0, 0)(response);
    else answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const client = new CollectorClient({
    url: `http://127.0.0.1:${port}`,
    token: () => 'token',
    tokenFrom: 'the test',
    caFile: null,
  });
  endings.push(
    () => new Promise((resolve) => server.close(resolve)),
    () => server.closeAllConnections(),
    () => client.close(),
  );
  return { client, asked, isOver: () => asked.length > answers.length };
}

/** Follows until all answers were given, and it has asked for more. */
async function run(answers: Answer[], changes: Partial<FollowOptions> = {}) {
  const { client, asked, isOver } = await serve(answers);
  const stop = new AbortController();
  const printed: string[] = [];
  const saved: string[] = [];
  const said: string[] = [];
  const check = setInterval(() => {
    if (isOver()) stop.abort();
  }, 20);
  endings.push(() => clearInterval(check));
  const code = await followCalls({
    ...{ client, after: null, afterTime: null, stored: null, skipsDeleted: false, signal: stop.signal },
    output: { write: (lines) => void printed.push(...lines) },
    linesOf: (calls) => calls.map(({ id }) => id),
    save: (cursor) => saved.push(cursor),
    say: (text) => said.push(text),
    ...changes,
  });
  return { code, printed, saved, said, asked };
}

test('it begins at the end, asks after each answer, and stores each place behind its lines', async () => {
  const [a, b, c] = [served(), served(), served()];
  const { code, printed, saved, asked } = await run([page('1'), page('3', [a, b]), page('4', [c])]);
  assert.equal(code, 0);
  assert.deepEqual(printed, [a.id, b.id, c.id]);
  assert.deepEqual(saved, ['1', '3', '4']);
  assert.deepEqual(asked.slice(0, 3), ['', '1', '3']);
});

test('calls that are stored already come first, after the place to go on was taken', async () => {
  const [old, late] = [served(), served()];
  const stored: FollowOptions['stored'] = async function* (ask) {
    yield await ask(async () => [old]);
  };
  const { printed, saved } = await run([page('1'), page('2', [late])], { stored });
  assert.deepEqual(
    [printed, saved],
    [
      [old.id, late.id],
      ['1', '2'],
    ],
  );
});

test('it asks again while the collector is away, from the same place, and says so once', async () => {
  const call = served();
  const answers = [
    cutOff,
    page('1'),
    problem(503, 'busy'),
    problem(500, 'failed'),
    cutOff,
    page('2', [call]),
  ];
  const { code, printed, said, asked } = await run(answers);
  assert.equal(code, 0);
  assert.deepEqual(printed, [call.id]);
  assert.deepEqual(asked.slice(0, 6), ['', '', '1', '1', '1', '1']);
  const texts = said.map((text) => text.replace(/.*(asks again until it answers|answers again).*/, '$1'));
  assert.deepEqual(texts, [
    'asks again until it answers',
    'answers again',
    'asks again until it answers',
    'answers again',
  ]);
});

test('deleted calls end it with their number, and nothing after them is printed or passed', async () => {
  const call = served();
  const from = { after: '7', afterTime: '2026-01-02T03:04:05.678Z' };
  const { code, printed, saved, said } = await run([page('12', [call], 4)], from);
  assert.equal(code, CALLS_LOST);
  assert.deepEqual([printed, saved], [[], []]);
  assert.match(
    said[0]!,
    /^4 calls were deleted by retention .* after 2026-01-02T03:04:05.678Z.*--skip-deleted/,
  );
});

test('with the permission to go on, deleted calls are said and passed', async () => {
  const call = served();
  const { code, printed, saved, said } = await run([page('12', [call], 1)], {
    after: '7',
    skipsDeleted: true,
  });
  assert.equal(code, 0);
  assert.deepEqual([printed, saved], [[call.id], ['12']]);
  assert.match(said[0]!, /^1 call was deleted by retention/);
});

test('a place that is not known any more ends it, and it says which calls to print again', async () => {
  const from = { after: '7', afterTime: '2026-01-02T03:04:05.678Z' };
  const { code, said, saved } = await run([problem(410, 'It was restored.')], from);
  assert.equal(code, CALLS_LOST);
  assert.match(said[0]!, /It was restored\..*--since 2026-01-02T03:04:05.678Z/);
  assert.deepEqual(saved, []);
});

test('a refused token ends it at any time', async () => {
  for (const answers of [[problem(403, 'Not you.')], [page('1'), problem(401, 'Expired.')]]) {
    await assert.rejects(run(answers), (error) => error instanceof OperatorError && error.exitCode === 3);
  }
});

test('lines that cannot be written end it, and the place stays before them', async () => {
  const { client } = await serve([page('1'), page('2', [served()])]);
  const saved: string[] = [];
  const following = followCalls({
    ...{ client, after: null, afterTime: null, stored: null, skipsDeleted: false },
    output: {
      write: () => {
        throw new OperatorError(1, 'no space');
      },
    },
    linesOf: (calls) => calls.map(({ id }) => id),
    save: (cursor) => saved.push(cursor),
    say: () => {},
    signal: new AbortController().signal,
  });
  await assert.rejects(following, /no space/);
  assert.deepEqual(saved, ['1']);
});

test('it ends while an answer or a reader of its output is awaited', async () => {
  for (const hangs of ['answer', 'output']) {
    const stop = new AbortController();
    const { client } = await serve([page('1'), hangs === 'answer' ? () => {} : page('2', [served()])]);
    const saved: string[] = [];
    const following = followCalls({
      ...{ client, after: null, afterTime: null, stored: null, skipsDeleted: false, signal: stop.signal },
      output: { write: () => new Promise(() => {}) },
      linesOf: (calls) => calls.map(({ id }) => id),
      save: (cursor) => {
        saved.push(cursor);
        setTimeout(() => stop.abort(), 100);
      },
      say: () => {},
    });
    assert.equal(await following, 0);
    assert.deepEqual(saved, ['1']);
  }
});
