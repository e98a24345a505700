/** Tests heads and bodies that are split at every place, and the recognition of fallbacks. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type BodyLength, BodySkipper } from '../../../../agent/conversation/body.ts';
import type { HeadReader } from '../../../../agent/conversation/head.ts';
import { RequestHead } from '../../../../agent/conversation/request.ts';
import { ResponseHead } from '../../../../agent/conversation/response.ts';

/** Reads `text`, cut into pieces at `cuts`. Returns the index in `text` at which the head ends. */
function readIn(head: HeadReader, text: string, cuts: number[]): number | 'malformed' | null {
  const bytes = Buffer.from(text, 'latin1');
  const edges = [0, ...cuts.toSorted((a, b) => a - b).filter((cut) => cut < bytes.length), bytes.length];
  for (let n = 0; n + 1 < edges.length; n++) {
    const end = head.read(bytes.subarray(edges[n], edges[n + 1]), 0, 1_000 + n);
    if (end === 'malformed') return end;
    if (end !== -1) return edges[n]! + end;
  }
  return null;
}

describe('a request head', () => {
  const REST = 'GET /next HTTP/1.1';
  const texts: [string, string, Partial<RequestHead>][] = [
    [
      'plain',
      'GET /latest/meta-data/?a=b HTTP/1.1\r\nHost: h\r\nX-aws-EC2-metadata-token: t\r\nUser-Agent: curl/8\r\n\r\n',
      { method: 'GET', path: '/latest/meta-data/', query: 'a=b', userAgent: 'curl/8', hasToken: true },
    ],
    ['bare line feeds', 'GET / HTTP/1.1\nx-aws-ec2-metadata-token:t\n\n', { path: '/', hasToken: true }],
    ['empty lines before it', '\r\n\r\nGET / HTTP/1.1\r\n\r\n', { path: '/', hasToken: false }],
    [
      'a name that only begins so',
      'GET / HTTP/1.1\r\nx-aws-ec2-metadata-token-ttl-seconds: 6\r\n\r\n',
      { hasToken: false },
    ],
    [
      'a name that only ends so',
      'GET / HTTP/1.1\r\nxx-aws-ec2-metadata-token: t\r\n\r\n',
      { hasToken: false },
    ],
    [
      'a space before the colon',
      'GET / HTTP/1.1\r\nx-aws-ec2-metadata-token : t\r\n\r\n',
      { hasToken: false },
    ],
    [
      'folded into another header',
      'GET / HTTP/1.1\r\nA: b\r\n x-aws-ec2-metadata-token: t\r\n\r\n',
      { hasToken: false },
    ],
    ['its value folded', 'GET / HTTP/1.1\r\nx-aws-ec2-metadata-token:\r\n\tt\r\n\r\n', { hasToken: true }],
    ['an empty value', 'GET / HTTP/1.1\r\nx-aws-ec2-metadata-token:\r\n\r\n', { hasToken: true }],
    [
      'a body is announced',
      'PUT /latest/api/token HTTP/1.1\r\nContent-Length: 5\r\n\r\n',
      { framing: { contentLength: 5, chunked: false } },
    ],
    [
      'chunks are announced',
      'PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n',
      { framing: { contentLength: null, chunked: true } },
    ],
    [
      'no UTF-8',
      'GET /\xff\xfe HTTP/1.1\r\nUser-Agent: \xff\xfe\r\n\r\n',
      { path: '/%FF%FE', userAgent: '\ufffd\ufffd' },
    ],
  ];
  for (const [name, text, expected] of texts) {
    it(`${name}: is the same wherever it is cut`, () => {
      const all = text + REST;
      const check = (cuts: number[]) => {
        const head = new RequestHead(false);
        assert.equal(readIn(head, all, cuts), text.length, `cut at ${cuts}`);
        for (const [key, value] of Object.entries(expected)) {
          assert.deepEqual(head[key as keyof RequestHead], value, `${key}, cut at ${cuts}`);
        }
      };
      for (let a = 0; a < all.length; a++) check([a]);
      check(Array.from({ length: all.length }, (_, n) => n));
      fc.assert(fc.property(fc.array(fc.nat(all.length), { maxLength: 6 }), check));
    });
  }

  it('begins with its first byte, not with empty lines before it', () => {
    const head = new RequestHead(false);
    head.read(Buffer.from('\r\n'), 0, 1);
    head.read(Buffer.from('\r\nG'), 0, 2);
    head.read(Buffer.from('ET'), 0, 3);
    assert.equal(head.startUs, 2);
  });

  it('that is garbage is recognised by its first bytes', () => {
    for (const text of [
      '\x16\x03\x01\x02\x00\x01',
      '\x00\x00\x00',
      '{"a":1}',
      '(GET) / HTTP/1.1\r\n',
      ' GET / HTTP/1.1\r\n',
      `${'A'.repeat(80)}`,
    ]) {
      assert.equal(readIn(new RequestHead(false), text, []), 'malformed', JSON.stringify(text));
    }
    for (const line of ['GET\r\n', 'GET / x HTTQ/1.1\r\n', 'PUT /latest\r\n']) {
      assert.equal(readIn(new RequestHead(false), line, []), 'malformed', line);
    }
  });

  it('of any bytes in any pieces gives the same verdict and never throws', () => {
    const texts = fc.oneof(
      fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
      fc
        .array(
          fc.constantFrom(
            'GET ',
            '/',
            ' HTTP/1.1',
            '\r\n',
            '\n',
            ':',
            ' ',
            'x-aws-ec2-metadata-token',
            'A',
            '\0',
          ),
          { maxLength: 20 },
        )
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(texts, fc.array(fc.nat(120), { maxLength: 6 }), (text, cuts) => {
        const whole = new RequestHead(false);
        const cut = new RequestHead(false);
        const [one, other] = [readIn(whole, text, []), readIn(cut, text, cuts)];
        // Garbage may be recognised before its line ends, sooner with some cuts than with others.
        if (one === 'malformed' || other === 'malformed') return;
        assert.equal(one, other);
        assert.deepEqual([whole.method, whole.path, whole.hasToken], [cut.method, cut.path, cut.hasToken]);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('an answer head', () => {
  it('is the same wherever it is cut', () => {
    const text =
      'HTTP/1.1 200 OK\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60\r\nContent-Length: 3\r\n\r\nabc';
    for (let a = 0; a < text.length; a++) {
      for (let b = a; b < text.length; b++) {
        const head = new ResponseHead();
        assert.equal(readIn(head, text, [a, b]), text.length - 3);
        assert.deepEqual([head.status, head.hasTokenTtl, head.framing.contentLength], [200, true, 3]);
      }
    }
  });
  it('has a status line in each form that servers use', () => {
    for (const [line, status] of [
      ['HTTP/1.0 404 Not Found', 404],
      ['HTTP/1.1 200', 200],
      ['HTTP/1.1 200 ', 200],
      ['HTTP/2 204 ', 204],
      ['HTTP/1.1 999 x', 999],
    ] as const) {
      const head = new ResponseHead();
      assert.notEqual(readIn(head, `${line}\r\n\r\n`, []), 'malformed', line);
      assert.equal(head.status, status);
    }
    for (const line of [
      'HTTP/1.1 099 x',
      'HTTP/1.1 20 x',
      'HTTP/1.1 2000 x',
      'HTTP/1.1',
      'ICY 200 OK',
      '<html>',
    ]) {
      assert.equal(readIn(new ResponseHead(), `${line}\r\n\r\n`, []), 'malformed', line);
    }
  });
});

describe('a body', () => {
  const bodies: [string, BodyLength, string][] = [
    ['of a known length', 11, 'hello world'],
    ['in chunks', 'chunked', '5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n'],
    ['in chunks, with trailers', 'chunked', 'A \r\n0123456789\r\n000\r\nX: y\r\nZ: w\r\n\r\n'],
    ['in chunks, with bare line feeds', 'chunked', '3\nabc\n0\n\n'],
  ];
  for (const [name, length, text] of bodies) {
    it(`${name} ends where it ends, wherever it is cut`, () => {
      const all = Buffer.from(`${text}HTTP/1.1`, 'latin1');
      for (let a = 0; a <= all.length; a++) {
        for (let b = a; b <= all.length; b++) {
          const body = new BodySkipper(length);
          let position = 0;
          for (const end of [a, b, all.length]) {
            const found = body.skip(all.subarray(0, end), position);
            assert.notEqual(found, 'malformed');
            if (found !== -1) {
              assert.equal(found, text.length, `cut at ${a} and ${b}`);
              break;
            }
            position = end;
          }
          assert.ok(body.hasEnded);
        }
      }
    });
  }
  it('that lasts until the connection closes never ends', () => {
    const body = new BodySkipper('until-close');
    assert.equal(body.skip(Buffer.alloc(100), 0), -1);
    assert.ok(body.skipUnseen(1_000_000));
    assert.ok(!body.hasEnded);
  });
  it('of length 0 has ended at once', () => assert.ok(new BodySkipper(0).hasEnded));
  it('with a gap keeps its end within counted bytes, and loses it elsewhere', () => {
    const counted = new BodySkipper(10);
    assert.ok(!counted.skipUnseen(11));
    assert.ok(counted.skipUnseen(4) && !counted.hasEnded);
    assert.equal(counted.skip(Buffer.from('abcdefGET'), 0), 6);
    const chunked = new BodySkipper('chunked');
    assert.ok(!chunked.skipUnseen(1), 'in a size');
    chunked.skip(Buffer.from('8\r\nab'), 0);
    assert.ok(chunked.skipUnseen(6));
    assert.equal(chunked.skip(Buffer.from('\r\n0\r\n\r\n'), 0), 7);
  });
  it('of any bytes has an end, no end yet or is malformed', () => {
    fc.assert(
      fc.property(
        fc.uint8Array(),
        fc.constantFrom<BodyLength>(5, 'chunked', 'until-close'),
        (bytes, length) => {
          const end = new BodySkipper(length).skip(bytes, 0);
          assert.ok(end === 'malformed' || (end >= -1 && end <= bytes.length));
        },
      ),
    );
  });
  it('with an endless chunk line is malformed', () => {
    const body = new BodySkipper('chunked');
    const line = Buffer.alloc(1_000, 0x61);
    const ends = Array.from({ length: 6 }, () => body.skip(line, 0));
    assert.ok(ends.includes('malformed'));
  });
});
