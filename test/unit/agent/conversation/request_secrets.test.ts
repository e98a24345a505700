/**
 * Tests that no part of a request's head keeps a secret, and that masks do not hide which metadata was
 * requested.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RequestHead } from '../../../../agent/conversation/request.ts';

const TOKEN = 'AQAEALH-k7i18JMkK-ORLZQfAa7nkNjQbKwpQPExNHqzk1oL_7eh-A==';
const KEY = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
const ROLES = '/latest/meta-data/iam/security-credentials/';

function headOf(text: string): RequestHead {
  const head = new RequestHead(false);
  assert.notEqual(head.read(Buffer.from(text, 'latin1'), 0, 1), 'malformed');
  return head;
}

function assertHidden(head: RequestHead, secret: string): void {
  const kept = JSON.stringify(head);
  for (let at = 0; at + 12 <= secret.length; at++)
    assert.ok(!kept.includes(secret.slice(at, at + 12)), `${secret.slice(at, at + 12)} in ${kept}`);
}

describe('secrets in a request', () => {
  const roles: [string, string][] = [
    ['a token', TOKEN],
    ['a token, its first letter encoded', `%41${TOKEN.slice(1)}`],
    ['a secret key', KEY],
    ['a secret key, its slashes encoded', KEY.replaceAll('/', '%2F')],
  ];
  for (const [what, role] of roles) {
    it(`as a role are masked, and the category is still credentials: ${what}`, () => {
      const head = headOf(`GET ${ROLES}${role} HTTP/1.1\r\n\r\n`);
      assert.equal(head.place.imds.category, 'credentials');
      assert.match(head.place.imds.role!, /^\*{4}/);
      assertHidden(head, role);
      assertHidden(head, role.startsWith('%41') ? TOKEN : role);
    });
  }

  it('do not hide the category of the path behind them', () => {
    for (const prefix of [`/${TOKEN}/..`, `/${KEY}/../../..`, `//${TOKEN}/../.`]) {
      const { place } = headOf(`GET ${prefix}${ROLES}web HTTP/1.1\r\n\r\n`);
      assert.deepEqual(place.imds, { category: 'credentials', role: 'web' });
    }
  });

  it('as a method are masked', () => {
    const method = TOKEN.replaceAll('=', '');
    assertHidden(headOf(`${method} /latest/ HTTP/1.1\r\n\r\n`), method);
  });

  it('in a user agent are masked before it is cut', () => {
    for (let start = 980; start < 1_024; start++) {
      for (const secret of [TOKEN, KEY]) {
        assertHidden(
          headOf(`GET / HTTP/1.1\r\nUser-Agent: ${'ab '.repeat(400).slice(0, start - 1)} ${secret}\r\n\r\n`),
          secret,
        );
      }
    }
  });

  it('folded over two lines are masked to their end', () => {
    assertHidden(
      headOf(`GET / HTTP/1.1\r\nUser-Agent: a ${TOKEN.slice(0, 30)}\r\n ${TOKEN.slice(30)}\r\n\r\n`),
      TOKEN,
    );
  });

  it('that are cut at the bound of a line are masked whole', () => {
    for (const secret of [TOKEN, KEY]) {
      for (let kept = 8; kept <= secret.length; kept++) {
        const line = (start: string) => `${start}${'a'.repeat(8_192 - start.length - kept - 1)}/${secret}`;
        assertHidden(headOf(`${line('GET /')} HTTP/1.1\r\n\r\n`), secret);
        assertHidden(headOf(`${line('GET /?')} HTTP/1.1\r\n\r\n`), secret);
      }
    }
  });
});
