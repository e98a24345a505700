/** Tests that the generated parts of the documents equal what the schemas and the metrics registry say now. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DOCS_DIRECTORY, generatedDocuments } from '../../../docs/generator/documents.ts';
import { exampleCall } from '../../../docs/generator/event_example.ts';
import { withGeneratedParts } from '../../../docs/generator/generated_part.ts';

test('generated parts are up to date; "npm run docs" writes them', async () => {
  for (const [name, text] of await generatedDocuments()) {
    assert.equal(readFileSync(join(DOCS_DIRECTORY, name), 'utf8'), text, `docs/${name} is out of date`);
  }
});

test('the example of the event reference is a call', () => {
  assert.equal(exampleCall()['imds.version'], 1);
});

test('a part without a place, and a place without a part, are errors', () => {
  const document = 'a\n<!-- generated: one -->\nold\n<!-- end of the generated part -->\nb\n';
  assert.match(withGeneratedParts(document, new Map([['one', 'new']])), /^a\n.*\n\nnew\n\n.*\nb\n$/);
  assert.throws(() => withGeneratedParts(document, new Map()), /"one"/);
  const two = new Map([
    ['one', ''],
    ['two', ''],
  ]);
  assert.throws(() => withGeneratedParts(document, two), /two/);
});
