/** Works out the tables of docs/scale-model.md again, from the unit costs that the document has. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { numberOf, shown, workOut } from '../../support/docs/arithmetic.ts';

const DOCUMENT = readFileSync(join(import.meta.dirname, '../../../docs/scale-model.md'), 'utf8');

/** Returns the cells of the rows of each table below a heading, without those of the heads. */
function rowsBelow(heading: string, document = DOCUMENT): string[][] {
  const [, section] = document.split(`\n## ${heading}\n`);
  assert.ok(section, `there is no heading ${heading}`);
  const rows = section
    .split('\n## ')[0]!
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .slice(1, -1)
        .split(' | ')
        .map((cell) => cell.trim()),
    );
  assert.ok(rows.length > 0, `there is no table below ${heading}`);
  return rows;
}

const nameIn = (cell: string) => /^`([a-z_0-9]+)`$/.exec(cell)?.[1];

const FLEETS = 4;

function modelOf(document: string): { name: string; fleet: number; is: string; should: string }[] {
  const units = new Map<string, number>();
  for (const [name, value] of rowsBelow('Unit costs', document)) units.set(nameIn(name!)!, numberOf(value!));
  const fleets = Array.from({ length: FLEETS }, () => new Map(units));
  for (const [name, ...cells] of rowsBelow('The fleets', document)) {
    for (const [index, fleet] of fleets.entries()) fleet.set(nameIn(name!)!, numberOf(cells[index]!));
  }
  return rowsBelow('The model', document).flatMap(([name, arithmetic, ...cells]) => {
    assert.ok(nameIn(name!), `${name} is no name`);
    const expression = /^`(.+)`$/.exec(arithmetic!)?.[1];
    assert.ok(expression, `${name}: ${arithmetic} is no arithmetic`);
    return fleets.map((fleet, index) => {
      const value = workOut(expression, fleet);
      fleet.set(nameIn(name!)!, value);
      return { name: nameIn(name!)!, fleet: index, is: cells[index]!, should: shown(value) };
    });
  });
}

test('every figure of the model is what its arithmetic gives', () => {
  const figures = modelOf(DOCUMENT);
  assert.ok(figures.length >= 15 * FLEETS, `${figures.length} figures`);
  const wrong = figures.filter(({ is, should }) => is !== should);
  assert.deepEqual(wrong, [], 'correct these cells of docs/scale-model.md, columns counted from 0');
});

test('a unit cost that changes makes figures wrong', () => {
  const [name, value] = rowsBelow('Unit costs')[0]!;
  const changed = DOCUMENT.replace(`| ${name} | ${value} |`, `| ${name} | ${numberOf(value!) * 2} |`);
  assert.notEqual(changed, DOCUMENT);
  assert.ok(modelOf(changed).some(({ is, should }) => is !== should));
});

test('every unit cost has a unit and a source, and is used', () => {
  const model = rowsBelow('The model')
    .map(([, arithmetic]) => arithmetic)
    .join(' ');
  for (const [name, , unit, source] of rowsBelow('Unit costs')) {
    assert.ok(unit, `${name} has no unit`);
    assert.match(
      source ?? '',
      /\]\(|`npm run |`bin\/node /,
      `${name}: name an entry of RESULTS.md or a command`,
    );
    assert.match(model, new RegExp(`\\b${nameIn(name!)}\\b`), `${name} is used nowhere`);
  }
});

test('arithmetic of documents', () => {
  const names = new Map([
    ['hosts', 100_000],
    ['each', 1.5],
  ]);
  assert.equal(workOut('hosts × each / 1,000', names), 150);
  assert.equal(workOut('1 + 2 × 3 - 4', names), 3);
  assert.equal(workOut('(1 + 2) × (5 - 3)', names), 6);
  assert.equal(workOut('ceil(hosts / 70,000) + 1', names), 3);
  assert.equal(workOut('8 / 4 / 2', names), 1);
  assert.throws(() => workOut('host × 2', names), /host is no known name/);
  assert.throws(() => workOut('2 ×', names), /the end is no known name/);
  assert.throws(() => workOut('2 % 3', names), /is no arithmetic/);
  assert.throws(() => workOut('(2', names), /\) is missing/);
  assert.throws(() => workOut('2 3', names), /3 is not expected/);
  assert.deepEqual([0.12345, 5667, 1_234_567, 10, 2.5].map(shown), [
    '0.123',
    '5,670',
    '1,230,000',
    '10',
    '2.5',
  ]);
  assert.equal(numberOf('1,000.5'), 1000.5);
  assert.throws(() => numberOf('many'), /no number/);
});
