/** The table of evasions can fail: what is neither recorded nor lost is a problem, whatever else happened. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OWN_WAYS, THROUGH_THE_HOST } from './evasions/namespaces.ts';
import { type End, type Outcome, problemWith } from './evasions/outcome.ts';
import { OWN_STACKS } from './evasions/own_stacks.ts';
import { MAX_NAMESPACES } from './evasions/own_way.ts';
import {
  FORGED_ANSWERS,
  FORGED_BYTES,
  FORGED_ENDS,
  FORGED_IPV6,
  OTHER_SENDERS,
} from './evasions/raw_packets.ts';
import { clockSteps, TIME } from './evasions/time.ts';
import { ODD_REQUESTS, ORDINARY_SOCKETS } from './evasions/unprivileged.ts';

const ENDS: End[] = ['call', 'loss', 'either', 'gap'];
const LOST = { 'capture.dropped': 1 };

function outcome(served: number, recorded: number, losses = {}, unexplained = served - recorded): Outcome {
  return { served, recorded, losses, unexplained };
}

function accepting(of: Outcome): End[] {
  return ENDS.filter((end) => problemWith(end, of) === null);
}

describe('the judgement of an attempt', () => {
  it('an answered call that is nowhere is a problem for every end', () => {
    assert.deepEqual(accepting(outcome(1, 0)), []);
    assert.deepEqual(accepting(outcome(10, 9)), []);
  });

  it('an attempt that nobody answered proves nothing', () => {
    assert.deepEqual(accepting(outcome(0, 0)), []);
    assert.deepEqual(accepting(outcome(0, 0, LOST)), []);
  });

  it('a recorded call, a loss and a gap are ends of their own', () => {
    assert.deepEqual(accepting(outcome(2, 2)), ['call', 'either', 'gap']);
    assert.deepEqual(accepting(outcome(2, 1, LOST)), ['loss', 'either']);
    assert.deepEqual(accepting(outcome(2, 1, {}, 0)), ['gap']);
  });

  it('a call that is recorded twice is a problem', () => {
    assert.deepEqual(accepting(outcome(1, 2, LOST, 0)), []);
  });
});

describe('the table of evasions', () => {
  const never = () => assert.fail('no clock is needed to count');
  const table = [
    ...[
      ODD_REQUESTS,
      ORDINARY_SOCKETS,
      FORGED_ENDS,
      FORGED_BYTES,
      FORGED_IPV6,
      FORGED_ANSWERS,
      OTHER_SENDERS,
    ],
    ...[THROUGH_THE_HOST, OWN_WAYS, OWN_STACKS, TIME, clockSteps(never)],
  ].flat();

  it('has at least 100 rows with names of their own, which can be part of a path', () => {
    const names = table.map(({ name }) => name);
    assert.ok(names.length >= 100, `${names.length} rows`);
    assert.equal(new Set(names).size, names.length);
    for (const { name, tries } of table) {
      assert.match(name, /^[a-z0-9-]+$/);
      assert.match(tries, /^[A-Z].*\.$/, name);
    }
    assert.ok(MAX_NAMESPACES + 1 < 8, 'eight namespaces are too many to watch');
  });
});
