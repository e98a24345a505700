/** Tests which refused reads count as those of a client that adapts. A wrong one would hide a broken client. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ADAPTATION_US, AdaptationWatch } from '../../../../agent/conversation/adaptation.ts';

const ROLES = '/latest/meta-data/iam/security-credentials/';
const MS = 1_000;

type Step =
  | { refused: string; at: number; by?: string; job?: string }
  | { tokenless: true; at: number; by?: string; job?: string }
  | { token: true; at: number; by?: string; job?: string }
  | { read: string; at: number; by?: string; job?: string };

/** Returns for each refused read, in the order of the steps, whether its client adapted. */
function play(steps: readonly Step[], order: readonly number[] = steps.map((_, index) => index)): boolean[] {
  const watch = new AdaptationWatch();
  const verdicts = new Map<number, boolean>();
  for (const index of order) {
    const step = steps[index]!;
    const startUs = step.at * MS;
    const keys = [step.by ?? '100:1', ...(step.job === undefined ? [] : [step.job])];
    if ('tokenless' in step) {
      watch.recordTokenlessRead(keys, startUs);
      continue;
    }
    if ('token' in step) {
      watch.recordToken(keys, startUs);
      continue;
    }
    if ('read' in step) watch.recordTokenRead({ keys, path: step.read, startUs });
    else {
      const report = (adapted: boolean) => {
        assert.ok(!verdicts.has(index), 'a call is reported once');
        verdicts.set(index, adapted);
      };
      watch.hold({ keys, path: step.refused, startUs, report });
    }
  }
  watch.finish();
  return [...verdicts].sort((a, b) => a[0] - b[0]).map(([, adapted]) => adapted);
}

describe('a client that is refused', () => {
  /** The source is a public report of a client that behaves so. */
  const adapting: { source: string; steps: Step[]; adapted: boolean[] }[] = [
    {
      source: 'aws/aws-sdk-cpp#2282, EC2MetadataClient: 401 turns tokens on again',
      steps: [
        { refused: ROLES, at: 0 },
        { token: true, at: 2 },
        { read: ROLES, at: 4 },
      ],
      adapted: [true],
    },
    {
      source: 'iriusrisk/GoCD-EC2-Elastic-Agent-Plugin#23: reads / to see if it needs a token',
      steps: [
        { refused: '/', at: 0 },
        { token: true, at: 3 },
        { read: '/latest/meta-data/instance-id', at: 5 },
      ],
      adapted: [true],
    },
    {
      source: 'JuliaCloud/AWS.jl#736: renews the token after a 401, and repeats',
      steps: [
        { refused: ROLES, at: 0 },
        { token: true, at: 1 },
        { read: ROLES, at: 2 },
      ],
      adapted: [true],
    },
    {
      source: 'retries of urllib3 before the client takes a token: every refused read is answered for',
      steps: [
        { refused: ROLES, at: 0 },
        { refused: ROLES, at: 200 },
        { refused: ROLES, at: 600 },
        { token: true, at: 610 },
        { read: ROLES, at: 620 },
      ],
      adapted: [true, true, true],
    },
    {
      source: 'aws/aws-node-termination-handler#229: never renews its token',
      steps: [
        { refused: ROLES, at: 0 },
        { refused: ROLES, at: 500 },
      ],
      adapted: [false, false],
    },
    {
      source: 'hop limit 1: it asks for a token, and gets no answer',
      steps: [
        { refused: ROLES, at: 0 },
        { refused: ROLES, at: 1_200 },
      ],
      adapted: [false, false],
    },
    {
      source: 'two SDKs in one process, of which only the new one takes tokens',
      steps: [
        { refused: ROLES, at: 0, by: '100:1 aws-sdk-java/1.10.1' },
        { token: true, at: 1, by: '100:1 aws-sdk-java/2.20.0' },
        { read: ROLES, at: 2, by: '100:1 aws-sdk-java/2.20.0' },
      ],
      adapted: [false],
    },
    {
      source: 'the same order in the commands of one script, of which each is a process of its own',
      steps: [
        { refused: ROLES, at: 0, by: '100:1', job: 'script' },
        { token: true, at: 20, by: '101:1', job: 'script' },
        { read: ROLES, at: 40, by: '102:1', job: 'script' },
      ],
      adapted: [true],
    },
    {
      source: 'another command of the script reads without a token meanwhile, and is served',
      steps: [
        { refused: ROLES, at: 0, by: '100:1', job: 'script' },
        { tokenless: true, at: 10, by: '101:1', job: 'script' },
        { token: true, at: 20, by: '102:1', job: 'script' },
        { read: ROLES, at: 40, by: '103:1', job: 'script' },
      ],
      adapted: [false],
    },
    {
      source: 'another process of the same program takes a token',
      steps: [
        { refused: ROLES, at: 0 },
        { token: true, at: 1, by: '200:1' },
        { read: ROLES, at: 2, by: '200:1' },
      ],
      adapted: [false],
    },
    {
      source: 'it had a token before, and reads something else with it',
      steps: [
        { token: true, at: 0 },
        { refused: ROLES, at: 1 },
        { read: ROLES, at: 2 },
      ],
      adapted: [false],
    },
    {
      source: 'it takes a token for another path',
      steps: [
        { refused: ROLES, at: 0 },
        { token: true, at: 1 },
        { read: '/latest/user-data', at: 2 },
      ],
      adapted: [false],
    },
    {
      source: 'too late to say that both belong together',
      steps: [
        { refused: ROLES, at: 0 },
        { token: true, at: ADAPTATION_US / MS },
        { read: ROLES, at: ADAPTATION_US / MS + 1 },
      ],
      adapted: [false],
    },
  ];
  for (const { source, steps, adapted } of adapting) {
    it(`${adapted.join(', ')}: ${source}`, () => assert.deepEqual(play(steps), adapted));
  }

  it('is judged by the times of its requests, in any order of their ends', () => {
    const anyStep = fc.tuple(fc.constantFrom('refused', 'token', 'read'), fc.constantFrom(ROLES, '/x'));
    fc.assert(
      fc.property(
        fc.array(anyStep, { minLength: 1, maxLength: 8 }).chain((kinds) => {
          const steps = kinds.map(([kind, path], at): Step => {
            if (kind === 'token') return { token: true, at };
            return kind === 'read' ? { read: path, at } : { refused: path, at };
          });
          const order = fc.shuffledSubarray(
            steps.map((_, index) => index),
            { minLength: steps.length },
          );
          return fc.tuple(fc.constant(steps), order);
        }),
        ([steps, order]) => {
          const expected = steps.flatMap((step, index) => {
            if (!('refused' in step)) return [];
            const token = steps.findIndex((later, at) => at > index && 'token' in later);
            const repeated = steps.findLastIndex((later) => 'read' in later && later.read === step.refused);
            return [token >= 0 && repeated > token];
          });
          const verdicts = play(steps, order);
          assert.equal(verdicts.length, expected.length);
          // A read whose token is seen after it may be missed, and then the cautious verdict stands.
          verdicts.forEach((adapted, index) => {
            if (adapted) assert.ok(expected[index]);
          });
          assert.deepEqual(play(steps), expected);
        },
      ),
    );
  });

  it('is reported when the time is up, and never later', () => {
    const watch = new AdaptationWatch();
    const reported: boolean[] = [];
    const report = (adapted: boolean) => reported.push(adapted);
    watch.hold({ keys: ['a'], path: ROLES, startUs: 0, report });
    assert.equal(watch.tick(ADAPTATION_US - 1), true);
    assert.deepEqual(reported, []);
    assert.equal(watch.tick(ADAPTATION_US), false);
    watch.recordToken(['a'], 1);
    watch.recordTokenRead({ keys: ['a'], path: ROLES, startUs: 2 });
    assert.deepEqual(reported, [false]);
  });

  it('is reported however many are refused at once', () => {
    const watch = new AdaptationWatch();
    let reported = 0;
    for (let at = 0; at < 10_000; at++) {
      watch.hold({ keys: [`${at}`], path: ROLES, startUs: at, report: () => reported++ });
    }
    assert.ok(reported >= 5_000);
    watch.finish();
    assert.equal(reported, 10_000);
  });
});
