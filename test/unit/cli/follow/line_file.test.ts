/** Lines of a rotated file are whole, in their order, and none is missing, whatever was cut off. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as fc from 'fast-check';
import { LineFile } from '../../../../cli/follow/line_file.ts';
import { OperatorError } from '../../../../common/operator_error.ts';

const directory = mkdtempSync(join(tmpdir(), 'imdswatch-lines-'));
after(() => rmSync(directory, { recursive: true }));
let files = 0;
function newPath(): string {
  files += 1;
  return join(directory, `calls-${files}.ndjson`);
}

/** Returns the texts of a file and of those that were renamed, the oldest first. */
function textsOf(path: string): string[] {
  const paths = [path];
  for (let number = 1; existsSync(`${path}.${number}`); number += 1) paths.unshift(`${path}.${number}`);
  return paths.filter((each) => existsSync(each)).map((each) => readFileSync(each, 'utf8'));
}

test('a file that would become too large is renamed, and the oldest one is replaced', () => {
  const path = newPath();
  const file = new LineFile({ path, maxBytes: 10, kept: 2 });
  file.write(['one\n', 'two\n', 'three\n', 'a line that is longer\n', 'four\n']);
  assert.deepEqual(textsOf(path), ['three\n', 'a line that is longer\n', 'four\n']);
  assert.equal(statSync(path).mode & 0o137, 0, 'others may not read it');
  file.write(['five\n']);
  assert.deepEqual(textsOf(path), ['three\n', 'a line that is longer\n', 'four\nfive\n']);
  file.close();
});

test('a file that somebody else has renamed is left, and a new one begins', () => {
  const path = newPath();
  const file = new LineFile({ path, maxBytes: 1000, kept: 2 });
  file.write(['one\n']);
  renameSync(path, `${path}.old`);
  file.write(['two\n']);
  file.close();
  assert.deepEqual(
    [path, `${path}.old`].map((each) => readFileSync(each, 'utf8')),
    ['two\n', 'one\n'],
  );
});

test('a place that an interrupted rotation has left free is used before a file is replaced', () => {
  const path = newPath();
  const file = new LineFile({ path, maxBytes: 6, kept: 3 });
  file.write(['one\n', 'two\n', 'three\n', 'four\n']);
  renameSync(`${path}.1`, `${path}.kept`);
  file.write(['five\n']);
  file.close();
  const texts = [1, 2, 3].map((number) => readFileSync(`${path}.${number}`, 'utf8'));
  assert.deepEqual(texts, ['four\n', 'two\n', 'one\n']);
});

test('what is no file and a directory that does not exist are errors that name the path', () => {
  for (const path of ['/dev/full', join(directory, 'absent', 'calls.ndjson')]) {
    const file = new LineFile({ path, maxBytes: 1000, kept: 1 });
    assert.throws(
      () => file.write(['one\n']),
      (error) => error instanceof OperatorError && error.message.includes(path),
    );
  }
});

test('any lines, restarts and cut-off writes: each whole line is there, in order, and no line is mixed up', () =>
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.record({ lines: fc.array(fc.nat(40), { maxLength: 6 }) }),
          fc.record({ cut: fc.integer({ min: 1, max: 8 }) }),
          fc.constant('restart' as const),
        ),
        { maxLength: 30 },
      ),
      (steps) => {
        const path = newPath();
        const open = () => new LineFile({ path, maxBytes: 90, kept: 1000 });
        let file = open();
        let number = 0;
        const written: string[] = [];
        let cuts = 0;
        for (const step of steps) {
          if (step === 'restart' || 'cut' in step) {
            file.close();
            if (step !== 'restart') {
              // The process was killed in the middle of a write.
              appendFileSync(path, '{"cut":'.repeat(2).slice(0, step.cut));
              cuts += 1;
            }
            file = open();
          } else {
            const lines = step.lines.map((length) => {
              number += 1;
              return `{"n":${number},"x":"${'x'.repeat(length)}"}\n`;
            });
            file.write(lines);
            written.push(...lines);
          }
        }
        file.close();
        const texts = textsOf(path);
        const whole = texts.flatMap((text) => text.split('\n').slice(0, -1));
        assert.deepEqual(
          whole,
          written.map((line) => line.slice(0, -1)).filter((line) => line !== ''),
        );
        const rests = texts.map((text) => text.split('\n').at(-1)!).filter((rest) => rest !== '');
        assert.ok(rests.length <= cuts);
        for (const text of texts) assert.ok(text.length <= 90 + 8 * cuts);
        // The next test begins with a name of its own.
        writeFileSync(path, '');
      },
    ),
    { numRuns: 60 },
  ));
