/** Tests the one list of losses, and that the documents agree with it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { isLoss, LOSSES_OF_THE_CALLER, lossesOf } from '../../../protocol/losses.ts';

const one = new Proxy({}, { get: () => 1 });
const allLosses = Object.keys(lossesOf(new Proxy({}, { get: () => one })));

test('every loss of a coverage report is marked in heartbeats', () => {
  assert.ok(allLosses.length > 10);
  for (const name of allLosses) {
    const [stage, counter] = name.split('.') as [string, string];
    assert.ok(isLoss(stage, counter), name);
  }
  assert.ok(isLoss('spool', 'overflowed'));
  assert.ok(!isLoss('capture', 'packets'));
  assert.ok(!isLoss('nowhere', 'lost'));
});

test('the documents say that a loss of the caller makes no gap', () => {
  const documentOf = (name: string) =>
    readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8');
  const rowOf = (name: string) =>
    documentOf('events.md')
      .split('\n')
      .find((line) => line.startsWith(`| \`${name}\` |`));
  for (const name of LOSSES_OF_THE_CALLER) {
    assert.match(rowOf(name) ?? '', /\| no \|/, name);
    assert.ok(!documentOf('operate.md').includes(`| \`${name}\``), `${name} is among the reasons of gaps`);
  }
  for (const name of allLosses) {
    if (!LOSSES_OF_THE_CALLER.has(name)) assert.match(rowOf(name) ?? '', /\| yes \|/, name);
  }
});
