/** `imdswatch collector` as an operator meets it. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { FINDINGS } from '../../../collector/store/sqlite/findings_schema.ts';

import { makeCall } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { kill, startCollectorProcess, TOKEN } from '../../support/collector/processes.ts';
import { eventually, range, readStored } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());
const MAIN = join(import.meta.dirname, '../../../cli/main.ts');

function started(args: string[], env: Record<string, string> = {}): ChildProcess {
  const { IMDSWATCH_AGENT_TOKEN: _, ...inherited } = process.env;
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', MAIN, 'collector', ...args],
    {
      env: { ...inherited, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  bench.atEnd(() => kill(child));
  return child;
}

async function end(child: ChildProcess): Promise<{ code: number | null; said: string }> {
  let said = '';
  child.stderr!.on('data', (data) => {
    said += data;
  });
  const [code] = await once(child, 'close');
  return { code, said };
}

test('SIGTERM ends the collector in order: acknowledged records are stored, exit code 0', async () => {
  const dataDir = bench.directory();
  const { child, port } = await startCollectorProcess(dataDir);
  bench.atEnd(() => kill(child));
  const outbox = bench.outbox(`ws://127.0.0.1:${port}`);
  for (const number of range(0, 300)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('delivered', () => acknowledged(outbox) === 300);
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
  assert.deepEqual(readStored(dataDir).numbers, range(0, 300));
  assert.equal(statSync(join(dataDir, FINDINGS.file)).mode & 0o077, 0, "nobody else's to read");
});

test('agent_token_file holds the enrolment token', async () => {
  const directory = bench.directory();
  const dataDir = join(directory, 'data');
  const file = join(directory, 'token');
  writeFileSync(file, 'short\n');
  chmodSync(file, 0o600);
  const short = await end(
    started(['--listen', '127.0.0.1:0', '--data-dir', dataDir, '--agent-token-file', file]),
  );
  assert.equal(short.code, 2);
  assert.ok(short.said.includes(file) && !short.said.includes('short'));

  writeFileSync(file, `${TOKEN}\n`);
  const child = started(['--listen', '127.0.0.1:0', '--data-dir', dataDir, '--agent-token-file', file]);
  const ended = end(child);
  await eventually('the store', () => existsSync(join(dataDir, FINDINGS.file)));
  child.kill('SIGTERM');
  assert.ok(!(await ended).said.includes(TOKEN));
});

test('the start prints a link that signs an admin in, once, and keeps it out of the log', async () => {
  const child = started(['--listen', '127.0.0.1:0', '--data-dir', bench.directory()]);
  let said = '';
  child.stderr!.on('data', (data) => {
    said += data;
  });
  await eventually('the link', () => said.includes('/sign-in#') && said.endsWith('\n'));
  const [, base, secret] = /(http:\/\/127\.0\.0\.1:\d+)\/sign-in#(\S+)/.exec(said)!;
  for (const line of said.split('\n')) if (line.startsWith('{')) assert.ok(!line.includes(secret!));
  const signIn = () =>
    fetch(`${base}/api/v1/session`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin' },
      body: JSON.stringify({ secret }),
    });
  const first = await signIn();
  assert.equal(first.status, 201);
  const cookie = first.headers.get('set-cookie')!.split(';')[0]!;
  const overview = await fetch(`${base}/api/v1/overview`, { headers: { Cookie: cookie } });
  assert.equal(overview.status, 200);
  assert.equal((await fetch(`${base}/api/v1/overview`)).status, 401);
  assert.equal((await fetch(`${base}/readyz`)).status, 200);
  assert.equal((await signIn()).status, 401);
});

test('without TLS no other machine can reach the collector, unless insecure_http is set', async () => {
  const dataDir = bench.directory();
  const refused = await end(started(['--listen', '0.0.0.0:0', '--data-dir', dataDir]));
  assert.equal(refused.code, 2);
  assert.match(refused.said, /there is no TLS/);
});

test('an address that is in use, and one that does not exist', async () => {
  const collector = await bench.collector();
  const env = { IMDSWATCH_AGENT_TOKEN: TOKEN };
  const dataDir = bench.directory();
  const listen = `127.0.0.1:${collector.address.port}`;
  const taken = await end(started(['--listen', listen, '--data-dir', dataDir], env));
  assert.equal(taken.code, 1);
  assert.match(taken.said, /cannot listen on 127\.0\.0\.1/);
  const wrong = await end(started(['--listen', 'everywhere', '--data-dir', dataDir], env));
  assert.equal(wrong.code, 2);
  assert.match(wrong.said, /"everywhere": must be ADDRESS:PORT/);
});
