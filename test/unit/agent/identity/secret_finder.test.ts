/** The finder that other tests rely on finds a secret in each form, and nothing where there is none. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ENCODINGS } from '../../../support/agent/identity/secret_arbitraries.ts';
import { SecretFinder } from '../../../support/agent/identity/secret_finder.ts';

const SECRET = 'q8Zt/K2mXv+R0bLhW5yNc7Jd1PfSg9aUeT4iQoG3';
const finder = new SecretFinder([{ place: 'here', secret: SECRET }]);

for (const [encoding, encode] of Object.entries(ENCODINGS)) {
  it(`finds a secret: ${encoding}`, () => {
    assert.deepEqual([...finder.placesIn(`{"a": "x${encode(SECRET)}y"}`)], ['here']);
  });
}
it('finds a part of 12 characters, base64 and hexadecimal', () => {
  for (const text of [SECRET.slice(20, 32), btoa(`ab${SECRET}`), Buffer.from(SECRET).toString('hex')])
    assert.deepEqual([...finder.placesIn(`<td>${text}</td>`)], ['here'], text);
});
it('finds nothing in a masked text and in a shorter part', () => {
  assert.equal(finder.placesIn(`/latest/**** ${SECRET.slice(0, 11)}`).size, 0);
});
