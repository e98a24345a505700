/** Tests the settings that name the collector, which are checked before anything is watched. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { pino } from 'pino';
import { agentSettings } from '../../../../agent/config.ts';
import { collectorAddress } from '../../../../agent/outbox/collector_address.ts';
import { CredentialFile } from '../../../../agent/outbox/credential_file.ts';
import { OperatorError } from '../../../../common/operator_error.ts';

const HOST_ID = 'i-0123456789abcdef0';
const TOKEN = 'a-token-of-the-tests-not-a-secret';
const logged: { level: number; msg: string }[] = [];
const log = pino({ level: 'debug' }, { write: (line: string) => logged.push(JSON.parse(line)) });

const directories: string[] = [];
function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-address-'));
  directories.push(directory);
  return directory;
}
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
  logged.length = 0;
});

const addressOf = (settings: Record<string, unknown>) =>
  collectorAddress(agentSettings.parse({ spool_dir: newDirectory(), ...settings }), HOST_ID, log);

function refusalOf(settings: Record<string, unknown>): string {
  try {
    addressOf(settings);
  } catch (error) {
    assert.ok(error instanceof OperatorError && error.exitCode === 2);
    return error.message;
  }
  return 'accepted';
}

test('nothing to show is refused; a token, a certificate or a stored credential is enough', () => {
  assert.match(refusalOf({}), /agent_token is not set.*client certificate/);
  assert.equal(addressOf({ agent_token: TOKEN }).token, TOKEN);
  const file = join(newDirectory(), 'token');
  writeFileSync(file, `${TOKEN}\n`);
  assert.equal(addressOf({ agent_token_file: file }).token, TOKEN);
  const enrolled = newDirectory();
  new CredentialFile(enrolled, HOST_ID, log).put('a-credential');
  assert.equal(addressOf({ spool_dir: enrolled }).token, null);
  const copied = newDirectory();
  new CredentialFile(copied, 'i-another', log).put('a-credential');
  assert.match(refusalOf({ spool_dir: copied }), /agent_token is not set/);
});

test('refuses a token that cannot be sent, and a file without one', () => {
  assert.ok(!agentSettings.safeParse({ agent_token: 'two\r\nlines' }).success);
  const file = join(newDirectory(), 'token');
  writeFileSync(file, 'short');
  assert.match(refusalOf({ agent_token_file: file }), /at least 16 characters, and has 5/);
  writeFileSync(file, 'long enough, but with spaces');
  assert.match(refusalOf({ agent_token_file: file }), /one word/);
  assert.match(refusalOf({ agent_token_file: `${file}.absent` }), /cannot be read/);
});

test('refuses TLS files that would not be used; warns of an unencrypted connection to another machine', () => {
  const without = refusalOf({ agent_token: TOKEN, collector_ca_file: '/etc/ssl/ca.pem' });
  assert.match(without, /not encrypted, so \/etc\/ssl\/ca.pem would not be used/);
  for (const url of ['ws://127.0.0.1:1', 'ws://localhost:1', 'ws://[::1]:1', 'wss://collector.example:1']) {
    addressOf({ agent_token: TOKEN, collector_url: url });
  }
  assert.equal(logged.length, 0);
  for (const url of ['ws://10.0.0.5:1', 'ws://127.0.0.1.example:1', 'ws://localhost.example:1']) {
    addressOf({ agent_token: TOKEN, collector_url: url });
  }
  assert.equal(logged.filter(({ level, msg }) => level === 40 && msg.includes('not encrypted')).length, 3);
});

test('a credential that cannot be written is kept, said once, and written when it can be', () => {
  const directory = join(newDirectory(), 'later');
  const file = new CredentialFile(directory, HOST_ID, log);
  file.put('a-credential');
  assert.equal(file.get(), 'a-credential');
  assert.equal(logged.length, 1);
  assert.ok(file.failures > 0 && !JSON.stringify(logged).includes('a-credential'));
  mkdirSync(directory);
  assert.equal(file.get(), 'a-credential');
  assert.equal(JSON.parse(readFileSync(join(directory, 'credential'), 'utf8')).credential, 'a-credential');
  assert.equal(new CredentialFile(directory, HOST_ID, log).get(), 'a-credential');
});
