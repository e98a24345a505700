/**
 * Secrets are known by their shape, wherever they stand and however they are encoded; ordinary names are not.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MASK, MAX_ARGS_CHARACTERS, maskArgs, maskPath, maskShapes } from '../../../../agent/secrets/mask.ts';
import { maskProgramName } from '../../../../agent/secrets/mask_program_name.ts';
import { redactPath, redactQuery, redactUserAgent } from '../../../../agent/secrets/redact.ts';
import {
  AFTER,
  BEFORE,
  ENCODINGS,
  KEYS,
  leaves,
  TOKENS,
} from '../../../support/agent/identity/secret_arbitraries.ts';

/**
 * Keys are found by likelihood: some 5 of 10,000 are missed, so that their tests use the same ones each time.
 */
const SEED = 9;

/** A query is split at `&`, as references of HTML are not meant to be. */
const maskers = (encoding: string): [string, (text: string) => string][] => [
  ['maskPath', maskPath],
  ['maskArgs', (text) => maskArgs(['app', text]).join(' ')],
  ['maskArgs, code', (text) => maskArgs(['sh', '-c', `app ${text}; true`]).join(' ')],
  ['redactPath', redactPath],
  ...(encoding === 'references of HTML'
    ? []
    : ([['redactQuery', (text) => redactQuery(text)]] as [string, (text: string) => string][])),
  ['redactUserAgent', redactUserAgent],
];

describe('a secret in any text and any encoding', () => {
  for (const [encoding, encode] of Object.entries(ENCODINGS)) {
    for (const [shape, secrets] of Object.entries({ 'secret key': KEYS, ...TOKENS })) {
      it(`leaves no part of 12 characters: ${shape}, ${encoding}`, () => {
        fc.assert(
          fc.property(secrets, BEFORE, AFTER, (secret, before, after) => {
            const encoded = encode(secret);
            for (const [name, mask] of maskers(encoding)) {
              const masked = mask(`${before}${encoded}${after}`);
              assert.ok(!leaves(masked, secret, encoded), `${name} leaves ${masked}`);
              assert.ok(masked.includes(MASK), `${name}: ${masked}`);
            }
          }),
          { numRuns: 60, seed: SEED },
        );
      });
    }
  }

  it('leaves no part of 12 characters in base64', () => {
    for (const secrets of [KEYS, ...Object.values(TOKENS)]) {
      fc.assert(
        fc.property(secrets, BEFORE, (secret, before) => {
          const encoded = Buffer.from(secret).toString('base64');
          assert.ok(!leaves(maskShapes(`${before}${encoded}`), encoded));
        }),
        { numRuns: 100, seed: SEED },
      );
    }
  });

  it('is missed as a key in fewer than 2 of 1,000 cases, next to any text', () => {
    let missed = 0;
    const count = 5_000;
    for (const key of fc.sample(KEYS, { numRuns: count, seed: SEED })) {
      if (leaves(maskShapes(`-t${key}`), key) || leaves(maskShapes(`/a/key${key}end/b`), key)) missed++;
    }
    assert.ok(missed < count / 500, `${missed} of ${count}`);
  });

  it('is masked once: a masked text stays as it is', () => {
    const piece = fc.oneof(KEYS, ...Object.values(TOKENS), fc.string({ maxLength: 60 }), BEFORE, AFTER);
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        const masked = maskShapes(pieces.join(''));
        assert.equal(maskShapes(masked), masked);
        const path = maskPath(pieces.join(''));
        assert.equal(maskPath(path), path);
      }),
      { numRuns: 300 },
    );
  });

  it('keeps of the id of an access key what finds it in an account, and no more', () => {
    assert.equal(maskPath('/srv/AKIAIOSFODNN7EXAMPLE.csv'), `/srv/AKIA${MASK}MPLE.csv`);
    assert.equal(maskArgs(['x', '--id=ASIAIOSFODNN7EXAMPLE'])[1], `--id=ASIA${MASK}MPLE`);
  });
});

describe('a secret that was cut', () => {
  const all = fc.oneof(KEYS, ...Object.values(TOKENS));
  it('leaves no part at the bound of all arguments', () => {
    fc.assert(
      fc.property(all, fc.integer({ min: 0, max: 70 }), (secret, room) => {
        const masked = maskArgs(['app', `${'b '.repeat((MAX_ARGS_CHARACTERS - 4 - room) / 2)}${secret}`]);
        assert.ok(!leaves(masked.join(' '), secret));
      }),
      { seed: SEED },
    );
  });
  it('leaves no part where the kernel cut the arguments, the line, or the name', () => {
    fc.assert(
      fc.property(all, fc.integer({ min: 12, max: 60 }), (secret, length) => {
        const cut = secret.slice(0, length);
        assert.ok(!leaves(maskArgs(['app', `--x=${cut}`], true).join(' '), secret));
        assert.ok(!leaves(redactPath(`/latest/${cut}`, true), secret));
        assert.ok(!leaves(redactQuery(`a=b&c=${cut}`, true), secret));
        assert.ok(!leaves(redactUserAgent(`client ${cut}`, true), secret));
        const name = secret.slice(0, 15);
        assert.ok(!leaves(maskProgramName(name, [`/srv/${secret}`], [`/srv/${MASK}`]), secret));
      }),
      { seed: SEED },
    );
  });
  it('leaves no part of a token where only its beginning is left', () => {
    for (const tokens of Object.values(TOKENS)) {
      fc.assert(
        fc.property(tokens, (token) => {
          assert.ok(!leaves(maskProgramName(token.slice(0, 15), [], []), token));
        }),
      );
    }
  });
});

describe('ordinary texts stay as they are', () => {
  it('names of files, programs, containers, units and roles', () => {
    const names = readFileSync('test/support/fixtures/ordinary-names.txt', 'utf8')
      .split('\n')
      .filter(Boolean);
    assert.ok(names.length > 1_600);
    for (const name of names) {
      assert.equal(maskPath(name), name);
      assert.equal(maskProgramName(name.slice(0, 15), [name], [name]), name.slice(0, 15));
    }
  });
  it('user agents, paths and queries of real clients', () => {
    const lines = readFileSync('test/support/fixtures/client-requests.jsonl', 'utf8')
      .split('\n')
      .filter(Boolean);
    let agents = 0;
    for (const line of lines) {
      const { path, raw } = JSON.parse(line) as { path: string; raw: string };
      const [asked = '', query] = path.split('?');
      assert.equal(redactPath(asked), asked);
      if (query !== undefined) assert.equal(redactQuery(query), query);
      const agent = /^user-agent: *(.*?)\r$/im.exec(Buffer.from(raw, 'base64').toString('latin1'))?.[1];
      if (agent === undefined) continue;
      agents++;
      assert.equal(redactUserAgent(agent), agent);
    }
    assert.ok(agents > 100, String(agents));
  });
});
