/**
 * Tests which requests every server reads alike, and how the others count if the service gives no verdict.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { isUnproven } from '../../../../agent/conversation/classify.ts';
import { answer, play, request, Script, TTL_ANSWER } from '../../../support/agent/conversation/script.ts';

const READ = 'GET /latest/meta-data/instance-id';
const TOKEN = 'X-aws-ec2-metadata-token: AQ==\r\n';
const PLAIN = `${READ} HTTP/1.1\r\nHost: h\r\n${TOKEN}\r\n`;

function heardOf(asked: string, replied: string) {
  const script = new Script().say({ from: 'client', text: asked }).say({ from: 'server', text: replied });
  return play(script.segments);
}

describe('a plain request', () => {
  it('is each of 447 requests of real clients', () => {
    const file = new URL('../../../support/fixtures/client-requests.jsonl', import.meta.url);
    const odd = new Map<string, string>();
    for (const line of readFileSync(file, 'utf8').trim().split('\n')) {
      const { client, raw } = JSON.parse(line) as { client: string; raw: string };
      const script = new Script().say({ from: 'client', text: Buffer.from(raw, 'base64') });
      const { form } = play(script.segments).all[0]!.exchange.request;
      if (form !== 'plain') odd.set(client, `${form}: ${Buffer.from(raw, 'base64').toString('latin1')}`);
    }
    // These requests are odd on purpose: an empty token, an error page as a token, a proxy, other protocols.
    assert.deepEqual([...odd.keys()].sort(), [
      'curl --http2 (h2c upgrade)',
      'curl --http2-prior-knowledge',
      'curl IMDSv2 (AWS doc snippet)',
      'curl empty token -H "X-aws-ec2-metadata-token;"',
      'curl via proxy option -x (absolute-form)',
    ]);
    const page = [...odd].find(([client]) => client === 'curl IMDSv2 (AWS doc snippet)');
    assert.match(page![1], /token: <\?xml/, 'and only where the token is no token');
  });

  it('is plain with any answer, wherever it is cut', () => {
    for (const status of [200, 401, 404, 500]) {
      for (const cuts of [[], [1], [17, 40], Array(200).fill(1)]) {
        const script = new Script()
          .say({ from: 'client', text: PLAIN, cuts })
          .say({ from: 'server', text: answer(status) });
        const { exchange, verdict } = play(script.segments).live[0]!;
        assert.equal(exchange.request.form, 'plain');
        assert.equal(isUnproven(exchange, verdict), false);
      }
    }
  });
});

describe('an odd request', () => {
  const headers = (lines: string) => `${READ} HTTP/1.1\r\nHost: h\r\n${TOKEN}${lines}\r\n`;
  const odd: [string, string][] = [
    ['an empty token', request(READ, { 'X-aws-ec2-metadata-token': '' })],
    ['a token with a space', request(READ, { 'X-aws-ec2-metadata-token': 'a b' })],
    ['two tokens', headers(TOKEN)],
    ['a folded token', `${READ} HTTP/1.1\r\nX-aws-ec2-metadata-token:\r\n AQ\r\n\r\n`],
    ['a folded header', headers('X-A: b\r\n c\r\n')],
    ['bare line feeds', PLAIN.replaceAll('\r\n', '\n')],
    ['one bare line feed', PLAIN.replace('h\r\n', 'h\n')],
    ['a bare carriage return', headers('X-A: b\rc\r\n')],
    ['a NUL in a value', headers('X-A: b\0c\r\n')],
    ['a NUL in a name', headers('X\0A: b\r\n')],
    ['a space before a colon', headers('X-A : b\r\n')],
    ['no colon', headers('X-A\r\n')],
    ['no name', headers(': b\r\n')],
    ['an empty line before it', `\r\n${PLAIN}`],
    ['two spaces in its first line', PLAIN.replace('GET ', 'GET  ')],
    ['another version', PLAIN.replace('1.1', '2.0')],
    ['absolute form', PLAIN.replace('/latest', 'http://169.254.169.254/latest')],
    ['a byte beyond ASCII in the target', PLAIN.replace('instance', 'inst\xe4nce')],
    ['a method in small letters', PLAIN.replace('GET', 'get')],
    ['a body', `${headers('Content-Length: 3\r\n')}abc`],
    ['two lengths', headers('Content-Length: 0\r\nContent-Length: 0\r\n')],
    ['a length that is none', headers('Content-Length: +0\r\n')],
    ['chunks', `${headers('Transfer-Encoding: chunked\r\n')}0\r\n\r\n`],
    ['another coding', headers('Transfer-Encoding: xchunked\r\n')],
    ['an upgrade', headers('Connection: Upgrade\r\nUpgrade: h2c\r\n')],
    ['a tunnel', `CONNECT /latest HTTP/1.1\r\n${TOKEN}\r\n`],
    ['a line beyond the bound', headers(`X-A: ${'a'.repeat(9_000)}\r\n`)],
  ];
  for (const [name, text] of odd) {
    it(`${name}: is unproven without a verdict of the service, and decided by one`, () => {
      for (const status of [401, 404, 500]) {
        const { exchange, verdict } = heardOf(text, answer(status)).live[0]!;
        assert.equal(exchange.request.form, 'odd');
        assert.equal(verdict.version, 2);
        assert.equal(isUnproven(exchange, verdict), true, `${status}`);
      }
      const { exchange, verdict } = heardOf(text, answer(200, '', TTL_ANSWER)).live[0]!;
      assert.equal(isUnproven(exchange, verdict), false);
      const silent = play(new Script().say({ from: 'client', text }).segments).all[0]!;
      assert.equal(isUnproven(silent.exchange, silent.verdict), true, 'no answer');
    });
  }

  it('makes every later one of its connection odd, because a server may see other boundaries', () => {
    const script = new Script()
      .say({ from: 'client', text: `${headers('Content-Length: 3\r\n')}abc` })
      .say({ from: 'server', text: answer(404) })
      .say({ from: 'client', text: PLAIN })
      .say({ from: 'server', text: answer(404) });
    assert.deepEqual(
      play(script.segments).live.map(({ exchange }) => exchange.request.form),
      ['odd', 'odd'],
    );
  });

  it('without a token is IMDSv1, and needs no proof', () => {
    const text = `${READ} HTTP/1.1\nHost: h\r\nX-aws-ec2-metadata-token : a\r\n\r\n`;
    const { exchange, verdict } = heardOf(text, answer(404)).live[0]!;
    assert.equal(verdict.version, 1);
    assert.equal(isUnproven(exchange, verdict), false);
  });

  it('is also one behind a gap', () => {
    const script = new Script()
      .say({ from: 'client', text: PLAIN.slice(0, 20) })
      .lose('client', PLAIN.slice(20))
      .say({ from: 'client', text: PLAIN })
      .say({ from: 'server', text: answer(404) + answer(404) });
    const { all, counters } = play(script.segments, { tickUs: 3_000_000 });
    assert.ok(all.length > 0);
    assert.ok(all.every(({ exchange }) => exchange.request.form === 'odd'));
    assert.equal(counters['gaps_in_heads'], 1);
  });
});

describe('another protocol', () => {
  it('that the service refuses changes nothing', () => {
    const script = new Script()
      .say({ from: 'client', text: 'CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n' })
      .say({ from: 'server', text: answer(405) })
      .say({ from: 'client', text: request(READ) })
      .say({ from: 'server', text: answer(200) });
    assert.deepEqual(
      play(script.segments).live.map(({ exchange, verdict }) => [exchange.request.method, verdict.version]),
      [
        ['CONNECT', 1],
        ['GET', 1],
      ],
    );
  });

  it('is a loss with any request', () => {
    const preface = heardOf(`PRI * HTTP/2.0\r\n\r\n${request(READ)}`, answer(400));
    assert.equal(preface.counters['upgraded_connections'], 1);
    const upgrade = heardOf(
      request(READ, { Connection: 'Upgrade', Upgrade: 'h2c' }),
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n',
    );
    assert.equal(upgrade.counters['upgraded_connections'], 1);
  });
});
