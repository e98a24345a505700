/** The line for people: what it says, that it fits, and that nothing in it reaches the terminal raw. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { callLine } from '../../../../cli/terminal/call_line.ts';
import { columnsOf } from '../../../../cli/terminal/text_width.ts';
import type { Call } from '../../../../protocol/call.ts';

const CALL: Call = {
  id: '019f0000-0000-7000-8000-000000000000',
  time: '2026-11-22T10:11:12.345678Z',
  'imds.version': 1,
  'imds.kind': 'read',
  'imds.category': 'credentials',
  'imds.role': 'web',
  'imds.endpoint': 'ipv4',
  'imds.server_version': 1,
  'imds.fallback': null,
  'http.request.method': 'GET',
  'url.path': '/latest/meta-data/iam/security-credentials/web',
  'url.query': null,
  'user_agent.original': null,
  'http.response.status_code': 200,
  outcome: 'answered',
  duration_ms: 1.5,
  'source.address': '10.0.0.7',
  'source.port': 40_000,
  'destination.address': '169.254.169.254',
  'destination.port': 80,
  process: {
    pid: 321,
    start_time: '2026-11-22T10:11:00.00Z',
    name: 'python3',
    'executable.path': '/usr/bin/python3.11',
    command_args: ['python3', '/srv/poll.py'],
    working_directory: '/',
    'owner.uid': 33,
    'owner.name': 'www-data',
    script: '/srv/poll.py',
    ancestors: [{ pid: 1, name: 'systemd', 'executable.path': '/sbin/init', command_args: null }],
  },
  container: null,
  k8s: null,
  systemd: null,
  'attribution.method': 'ebpf',
  'attribution.confidence': 'exact',
  host: { id: 'h', name: 'h' },
};

const plain = (call: Call, columns: number | null = null) => callLine(call, { colour: false, columns });
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]|[\u202a-\u202e\u2066-\u2069]/u;

describe('a call as a line', () => {
  it('shows version, status, request, caller and what is wrong with the call', () => {
    const line = plain(CALL);
    for (const part of [
      'IMDSv1',
      '200',
      'GET',
      '/latest/meta-data/iam/security-credentials/web',
      '/srv/poll.py',
      '[321]',
      'www-data',
      'credentials were sent without a token',
      'systemd[1]',
    ])
      assert.ok(line.includes(part), `${part} in ${line}`);
    assert.ok(!line.includes('?'), 'nothing unsure about an exact caller');
  });
  it('says whose connection the caller used', () => {
    const opener = { pid: 99, name: 'pool', 'executable.path': '/bin/pool', script: null, 'owner.uid': 0 };
    const textOf = (fields: Partial<Call>) => plain({ ...CALL, ...fields });
    const handed = textOf({ 'caller.connection': 'handed', opener });
    assert.ok(handed.includes('(www-data) on a connection opened by /bin/pool[99]'), handed);
    assert.ok(textOf({ 'caller.connection': 'handed' }).includes(' on a connection of another process'));
    assert.ok(textOf({ 'caller.connection': 'shared' }).includes(' on a shared connection'));
    assert.ok(!textOf({ 'caller.connection': 'own', opener: null }).includes('connection'));
  });
  it('says what is not known', () => {
    const line = plain({
      ...CALL,
      process: null,
      outcome: 'unanswered',
      'http.response.status_code': null,
      'url.path': null,
      'http.request.method': null,
    });
    for (const part of ['caller unknown (10.0.0.7:40000)', 'unanswered', '(not seen)', '?'])
      assert.ok(line.includes(part), part);
    assert.match(plain({ ...CALL, 'attribution.confidence': 'probable' }), /\[321\]\?/);
  });
  it('says why a client fell back, and when the service reports another version', () => {
    const unanswered = { ...CALL, 'imds.fallback': 'token_unanswered' as const };
    assert.match(plain({ ...unanswered, container: null }), /its token request got no answer/);
    const container = { id: 'a'.repeat(64), name: 'orders', 'image.name': null, runtime: 'docker' };
    assert.match(plain({ ...unanswered, container }), /in container orders.*Set the hop limit to 2/);
    assert.match(plain({ ...CALL, 'imds.fallback': 'token_refused' }), /refused/);
    assert.match(plain({ ...CALL, 'imds.server_version': 2 }), /the metadata service treated it as IMDSv2/);
    assert.match(plain({ ...CALL, 'imds.endpoint': 'ipv6' }), /ipv6/);
  });
  it('colours only where they are asked for, and they change no text', () => {
    assert.doesNotMatch(plain(CALL), CONTROL);
    const coloured = callLine(CALL, { colour: true, columns: null });
    assert.notEqual(coloured, plain(CALL));
    assert.equal(stripVTControlCharacters(coloured), plain(CALL));
  });
});

it('columns of a terminal', () => {
  const table = { '': 0, abc: 3, é: 1, 漢字: 4, '…': 1, '😀': 2, ｗ: 2 };
  for (const [text, columns] of Object.entries(table)) assert.equal(columnsOf(text), columns, text);
});

describe('any text in a call', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.constantFrom(
      '\u001b[2J\u001b]0;owned\u0007',
      'a\r\nb',
      '\u202eevil',
      '\u009b31m',
      '\ud800',
      '漢字'.repeat(20),
      '👩‍👩‍👧'.repeat(9),
    ),
  );
  const calls = fc.tuple(hostile, hostile, hostile, hostile, hostile, hostile).map(
    ([path, query, name, executable, script, user]): Call => ({
      ...CALL,
      'url.path': path,
      'url.query': query,
      process: {
        ...CALL.process!,
        name,
        'executable.path': executable,
        script,
        'owner.name': user,
        ancestors: [{ pid: 2, name, 'executable.path': executable, command_args: null }],
      },
    }),
  );
  it('reaches the terminal without a control character', () => {
    fc.assert(fc.property(calls, (call) => assert.doesNotMatch(plain(call), CONTROL)));
  });
  it('fits, and a cut splits no character', () => {
    fc.assert(
      fc.property(calls, fc.integer({ min: 1, max: 200 }), fc.boolean(), (call, columns, colour) => {
        const line = stripVTControlCharacters(callLine(call, { colour, columns }));
        assert.ok(line.isWellFormed(), line);
        assert.ok(columnsOf(line) <= columns, `${columnsOf(line)} > ${columns}: ${line}`);
      }),
    );
  });
});
