/**
 * Tests which reads without a token are fallbacks, on packets of known processes. Both directions matter: a client
 * that falls back is told to raise the hop limit, and a client that never asks for a token must not hide behind one
 * that does. Each row of a public report has its source.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { callsOfReads, fallbacksOf, type Program, type Request } from '../../support/agent/fallback_story.ts';

const HOUR_MS = 3_600_000;
const SCRIPT: Program = { pid: 50, executable: '/usr/bin/bash', args: ['bash', '/opt/entrypoint.sh'] };
let nextPid = 1_000;
const program = (executable: string, args: string[] = [executable], parents: Program[] = []): Program => ({
  pid: nextPid++,
  executable,
  args,
  parents,
});
const agent = program('/opt/datadog-agent/bin/agent/agent');
const curl = (...parents: Program[]) => program('/usr/bin/curl', ['curl', '-s', 'http://x'], parents);
const CURL = 'curl/7.88.1';

const row = (name: string, requests: Request[], expected: unknown[]) =>
  it(name, async () => assert.deepEqual(await fallbacksOf(requests), expected));

describe('a client that closes its unanswered token request', () => {
  const reports: [string, number][] = [
    ['Istio, pkg/bootstrap/platform/aws.go: 100 ms', 100],
    ['awslabs/collectd-cloudwatch#96: 300 ms', 300],
    ['DataDog/datadog-agent, ec2_metadata_timeout: 300 ms', 300],
    ['JuliaCloud/AWS.jl#655: the time-out of a container', 450],
    ['boto/botocore, AWS_METADATA_SERVICE_TIMEOUT: 1 s', 1_000],
    ['aws/aws-sdk-go-v2#460: 5 s', 5_000],
    ['puppetlabs/facter: 10 s', 10_000],
  ];
  for (const [source, timeoutMs] of reports) {
    for (const resets of [false, true]) {
      for (const answer of [null, 'lost'] as const) {
        const end = resets ? 'resets' : 'closes';
        row(
          `${source}, ${end}, the answer is ${answer ?? 'not seen'}`,
          [
            { by: agent, atMs: 0, answer, closesAfterMs: timeoutMs, resets },
            { by: agent, atMs: timeoutMs + 1, read: true },
            { by: agent, atMs: timeoutMs + 5, read: true },
          ],
          ['token_unanswered', 'token_unanswered'],
        );
      }
    }
  }
  it('falls back at any time-out, and whatever order the close and the read are captured in', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 5, max: 20_000 }), fc.boolean(), async (timeoutMs, resets) => {
        const read = { by: agent, atMs: timeoutMs - 1 + (timeoutMs % 3), read: true } as const;
        const token: Request = { by: agent, atMs: 0, answer: 'lost', closesAfterMs: timeoutMs, resets };
        assert.deepEqual(await fallbacksOf([token, read]), ['token_unanswered']);
      }),
      { numRuns: 40 },
    );
  });
  row(
    'an answer that was captured just before the close, and not acknowledged, grants nothing later',
    [
      { by: agent, atMs: 0, answer: 'lost', closesAfterMs: 20 },
      { by: agent, atMs: 30, read: true },
      { by: agent, atMs: 9_000, read: true },
    ],
    ['token_unanswered', 'token_unanswered'],
  );
  row(
    'with threads: a token request of another thread that still waits hides nothing',
    [
      { by: agent, atMs: 0, answer: null, closesAfterMs: 1_000 },
      { by: agent, atMs: 990, answer: null, closesAfterMs: 1_000 },
      { by: agent, atMs: 1_001, read: true },
    ],
    ['token_unanswered'],
  );
  row(
    'a client that keeps the connection open, and reads on another one, has given up too',
    [
      { by: agent, atMs: 0, answer: 'lost', closesAfterMs: null },
      { by: agent, atMs: 100, read: true },
    ],
    ['token_unanswered'],
  );
  row(
    'aws/aws-sdk-js v2 names itself on reads only',
    [
      { by: agent, atMs: 0, answer: null, userAgent: null },
      { by: agent, atMs: 1_001, read: true, userAgent: 'aws-sdk-nodejs/2.1693.0 linux/v20.20.2' },
    ],
    ['token_unanswered'],
  );
  row(
    'a forked worker remembers what its parent learned',
    (() => {
      const master = program('/usr/bin/python3', ['python3', '/opt/app.py']);
      const worker = program('/usr/bin/python3', ['python3', '/opt/app.py'], [master]);
      return [
        { by: master, atMs: 0, answer: null },
        { by: worker, atMs: 2_000, read: true },
      ];
    })(),
    ['token_unanswered'],
  );
});

describe('a client whose token request is refused', () => {
  for (const status of [400, 403, 404, 405, 503]) {
    row(
      `jtblin/kube2iam#241: ${status}`,
      [
        { by: agent, atMs: 0, answer: status },
        { by: agent, atMs: 10, read: true },
      ],
      ['token_refused'],
    );
  }
  row(
    'aws/aws-sdk-cpp#2282: after one throttled answer it goes on without tokens, for hours',
    [
      { by: agent, atMs: 0, answer: 503 },
      { by: agent, atMs: 5 * HOUR_MS, read: true },
    ],
    ['token_refused'],
  );
});

describe('a script whose commands make the calls', () => {
  const cases: [string, () => Request[], unknown[]][] = [
    [
      'AWS EC2 user guide, "Use IMDSv2": the token by one curl, the read by the next',
      () => [
        { by: curl(SCRIPT), atMs: 0, answer: 'lost', closesAfterMs: 2_000, userAgent: CURL },
        { by: curl(SCRIPT), atMs: 2_010, read: true, userAgent: CURL },
      ],
      ['token_unanswered'],
    ],
    [
      'in a subshell',
      () => [
        { by: curl({ ...SCRIPT, pid: 51 }, SCRIPT), atMs: 0, answer: 'lost', userAgent: CURL },
        { by: curl({ ...SCRIPT, pid: 52 }, SCRIPT), atMs: 1_010, read: true, userAgent: CURL },
      ],
      ['token_unanswered'],
    ],
    [
      'under timeout(1), in the second curl too',
      () => {
        const timeout = program('/usr/bin/timeout', ['timeout', '1', 'curl']);
        return [
          { by: curl(timeout, SCRIPT), atMs: 0, answer: 'lost', userAgent: CURL },
          { by: curl(SCRIPT), atMs: 1_010, read: true, userAgent: CURL },
        ];
      },
      ['token_unanswered'],
    ],
    [
      'by another script that fetches the token',
      () => {
        const helper = program('/bin/sh', ['/bin/sh', '/opt/get_token.sh']);
        return [
          { by: curl(helper, SCRIPT), atMs: 0, answer: 403, userAgent: CURL },
          { by: curl(SCRIPT), atMs: 100, read: true, userAgent: CURL },
        ];
      },
      ['token_refused'],
    ],
    [
      'Netflix/metaflow and others: a Python program runs two shells',
      () => {
        const python = program('/usr/bin/python3', ['python3', '/opt/job.py']);
        const shell = (command: string) => program('/bin/sh', ['/bin/sh', '-c', command]);
        return [
          { by: curl(shell('curl -X PUT'), python), atMs: 0, answer: 'lost', userAgent: CURL },
          { by: curl(shell('curl -H'), python), atMs: 1_010, read: true, userAgent: CURL },
        ];
      },
      ['token_unanswered'],
    ],
    [
      'docker run alpine sh -c: BusyBox is the shell',
      () => {
        const shell = { ...program('/bin/busybox', ['sh', '-c', 'T=$(curl -X PUT); curl']), name: 'sh' };
        return [
          { by: curl(shell), atMs: 0, answer: 'lost', userAgent: CURL },
          { by: curl(shell), atMs: 1_010, read: true, userAgent: CURL },
        ];
      },
      ['token_unanswered'],
    ],
    [
      'which is granted a token later, and then goes without one of its own accord',
      () => [
        { by: curl(SCRIPT), atMs: 0, answer: 'lost', userAgent: CURL },
        { by: curl(SCRIPT), atMs: 1_100, userAgent: CURL },
        { by: curl(SCRIPT), atMs: 1_200, read: true, userAgent: CURL },
      ],
      [null],
    ],
    [
      'and another run of it is another one',
      () => [
        { by: curl(SCRIPT), atMs: 0, answer: 'lost', userAgent: CURL },
        { by: curl({ ...SCRIPT, pid: 60 }), atMs: 1_200, read: true, userAgent: CURL },
      ],
      [null],
    ],
    [
      'two cron entries share nothing',
      () => {
        const cron = program('/usr/sbin/cron');
        const entry = (command: string) => program('/bin/sh', ['/bin/sh', '-c', command]);
        return [
          { by: curl(entry('T=$(curl -X PUT); curl'), cron), atMs: 0, answer: 'lost', userAgent: CURL },
          { by: curl(entry('curl'), cron), atMs: 1_200, read: true, userAgent: CURL },
        ];
      },
      [null],
    ],
    [
      'two scripts that one script starts share nothing',
      () => {
        const a = program('/bin/bash', ['bash', '/opt/a.sh']);
        const b = program('/bin/bash', ['bash', '/opt/b.sh']);
        return [
          { by: curl(a, SCRIPT), atMs: 0, answer: 'lost', userAgent: CURL },
          { by: curl(b, SCRIPT), atMs: 1_200, read: true, userAgent: CURL },
        ];
      },
      [null],
    ],
    [
      'a program with a script of its own shares nothing with its starter',
      () => {
        const one = program('/usr/bin/python3', ['python3', '/opt/new.py'], [SCRIPT]);
        const other = program('/usr/bin/python3', ['python3', '/opt/old.py'], [SCRIPT]);
        return [
          { by: one, atMs: 0, answer: 'lost' },
          { by: other, atMs: 1_200, read: true },
        ];
      },
      [null],
    ],
    [
      'the first process of the machine is no script',
      () => {
        const init = { ...SCRIPT, pid: 1 };
        return [
          { by: curl(init), atMs: 0, answer: 'lost', userAgent: CURL },
          { by: curl(init), atMs: 1_200, read: true, userAgent: CURL },
        ];
      },
      [null],
    ],
  ];
  for (const [name, requests, expected] of cases) row(name, requests(), expected);
});

describe('a caller that is not found', () => {
  row(
    'is known by its address and its user agent for a minute',
    [
      { by: null, atMs: 0, answer: 'lost' },
      { by: null, atMs: 1_001, read: true },
      { by: null, atMs: 1_002, read: true, address: '172.17.0.3' },
      { by: null, atMs: 1_003, read: true, userAgent: CURL },
      { by: null, atMs: 90_000, read: true },
    ],
    ['token_unanswered', null, null, null],
  );
  row(
    'a read that is not found follows a token request that was',
    [
      { by: agent, atMs: 0, answer: 'lost' },
      { by: null, atMs: 1_001, read: true },
    ],
    ['token_unanswered'],
  );
  row(
    'a read of a known process is not explained by the address',
    [
      { by: null, atMs: 0, answer: 'lost' },
      { by: program('/opt/old'), atMs: 1_001, read: true },
    ],
    [null],
  );
});

describe('behind a proxy', () => {
  const proxy = program('/usr/sbin/squid');
  row(
    'each client has its own state, which ends with a granted token',
    [
      { by: proxy, atMs: 0, answer: 403, forwardedFor: '10.0.0.1' },
      { by: proxy, atMs: 10, read: true, forwardedFor: '10.0.0.1' },
      { by: proxy, atMs: 20, read: true, forwardedFor: '10.0.0.2' },
      { by: proxy, atMs: 30, read: true, forwardedFor: '10.0.0.1', userAgent: CURL },
      { by: proxy, atMs: 40, forwardedFor: '10.0.0.1' },
      { by: proxy, atMs: 50, read: true, forwardedFor: '10.0.0.1' },
    ],
    ['token_refused', null, null, null],
  );
  row(
    'a state lasts for a minute',
    [
      { by: proxy, atMs: 0, answer: 403, forwardedFor: '10.0.0.1' },
      { by: proxy, atMs: 62_000, read: true, forwardedFor: '10.0.0.1' },
    ],
    [null],
  );
});

describe('an IMDSv1 client does not hide', () => {
  const other = program('/opt/old');
  const cases: [string, Request[]][] = [
    [
      'as another process',
      [
        { by: agent, atMs: 0, answer: null },
        { by: other, atMs: 1_100, read: true },
      ],
    ],
    [
      'as another client of one process',
      [
        { by: agent, atMs: 0, answer: null, userAgent: 'aws-sdk-go-v2/1.17.1' },
        { by: agent, atMs: 1_100, read: true, userAgent: 'Go-http-client/1.1' },
      ],
    ],
    [
      'behind a client without a user agent, unless it is the one SDK that does so',
      [
        { by: agent, atMs: 0, answer: null, userAgent: null },
        { by: agent, atMs: 1_100, read: true, userAgent: 'Go-http-client/1.1' },
      ],
    ],
    [
      'after a granted token',
      [
        { by: agent, atMs: 0 },
        { by: agent, atMs: 20, read: true },
      ],
    ],
    [
      'after a granted token that followed a failure',
      [
        { by: agent, atMs: 0, answer: null },
        { by: agent, atMs: 1_100 },
        { by: agent, atMs: 1_200, read: true },
      ],
    ],
    [
      'beside a token request that is being answered',
      [
        { by: agent, atMs: 0, answersAfterMs: 8 },
        { by: agent, atMs: 1, read: true },
      ],
    ],
    [
      'with a read that began before the failed token request, and is answered behind it',
      [
        { by: agent, atMs: 0, read: true, answersAfterMs: 50 },
        { by: agent, atMs: 5, answer: null, closesAfterMs: 20 },
        { by: agent, atMs: 30, answer: 403, answersAfterMs: 10 },
        { by: agent, atMs: 35, read: true, answersAfterMs: 30, userAgent: CURL },
        { by: agent, atMs: 34, answer: 403, answersAfterMs: 10, userAgent: CURL },
      ],
    ],
    [
      'before the token request, or before its refusal',
      [
        { by: agent, atMs: 0, read: true },
        { by: agent, atMs: 5, answer: 403, answersAfterMs: 20 },
        { by: agent, atMs: 10, read: true },
      ],
    ],
    [
      'for ever',
      [
        { by: agent, atMs: 0, answer: null },
        { by: agent, atMs: 7 * HOUR_MS, read: true },
      ],
    ],
  ];
  for (const [name, requests] of cases) {
    const reads = requests.filter(({ read }) => read === true);
    row(
      name,
      requests,
      reads.map(() => null),
    );
  }
  it('a read of a process without a failed token request is no fallback, although another process failed', async () => {
    const programs = [agent, other, program('/opt/third')];
    const one = fc.record({
      by: fc.integer({ min: 0, max: 2 }),
      atMs: fc.integer({ min: 0, max: 30_000 }),
      read: fc.boolean(),
      answer: fc.constantFrom(200, 403, null, 'lost' as const),
      closesAfterMs: fc.integer({ min: 3, max: 5_000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(one, { maxLength: 12 }), async (drawn) => {
        const requests = drawn.map((each) => ({
          ...each,
          by: programs[each.by]!,
          answer: each.read ? 200 : each.answer,
        }));
        const calls = await callsOfReads(requests);
        for (const call of calls) {
          if (call['imds.fallback'] === null) continue;
          const index = call['source.port'] - 20_000;
          const read = requests[index]!;
          const failed = requests.some(
            ({ by, atMs, read: isRead, answer }) =>
              !isRead && by === read.by && atMs <= read.atMs && answer !== 200,
          );
          assert.ok(failed, 'a token request of this process failed before');
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('the way of a client', () => {
  it('is measured from hop limits, and the answer shows the present setting', async () => {
    const rows: [number[], number | null][] = [
      [[64], 0],
      [[64, 63], 1],
      [[63, 62], 2],
      [[128, 127, 126], 2],
      [[255, 254], 1],
      [[64, 20], null],
    ];
    for (const [hopLimits, hops] of rows) {
      const calls = await callsOfReads([
        { by: agent, atMs: 0, answer: 'lost', answerHopLimit: 2, hopLimits },
        { by: agent, atMs: 1_001, read: true, hopLimits },
      ]);
      assert.deepEqual(
        calls.map((call) => [call['imds.hops'], call['imds.token_hop_limit']]),
        [[hops, 2]],
        `${hopLimits}`,
      );
    }
  });
});
