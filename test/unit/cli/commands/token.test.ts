/** Tests `imdswatch token` while a collector runs: changes take effect there and are in the audit log. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Token } from '../../../../collector/contract/administration.ts';
import { AccessBench } from '../../../support/collector/access/access_bench.ts';

const MAIN = fileURLToPath(new URL('../../../../cli/main.ts', import.meta.url));
const open: AccessBench[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
async function bench(): Promise<AccessBench> {
  const made = await AccessBench.open();
  made.nowMs = Date.now();
  open.push(made);
  return made;
}

/**
 * Keeps the variables of a faked clock, time zone or locale: the commands and the bench need the same time.
 */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('IMDSWATCH_')));
}

async function imdswatch(
  ...args: string[]
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ['--no-warnings', MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: withoutSettings(process.env),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, stdout, stderr };
}

describe('imdswatch token', () => {
  it('makes, lists and revokes while the collector runs', async () => {
    const b = await bench();
    const at = ['--data-dir', b.directory];
    const made = await imdswatch(
      'token',
      'create',
      '--kind',
      'person',
      '--role',
      'viewer',
      '--name',
      'alice',
      ...at,
    );
    assert.equal(made.code, 0, made.stderr);
    const secret = made.stdout.trim();
    assert.match(made.stdout, /^imdsw_p[\w-]{43}\n$/, 'the secret alone');
    assert.equal((await b.identifyUser({ authorization: `Bearer ${secret}` }))?.name, 'alice');
    const { session } = await b.signIn(secret);
    await b.access.poll();

    const listed = await imdswatch('token', 'list', '--json', ...at);
    const [token] = JSON.parse(listed.stdout) as Token[];
    assert.equal(token?.created_by, `command:${userInfo().username}`);
    assert.ok(token.last_used);
    const table = await imdswatch('token', 'list', ...at);
    assert.match(table.stdout, /alice +viewer +valid/);
    assert.ok(!`${listed.stdout}${table.stdout}`.includes(secret.slice(8)));

    const revoked = await imdswatch('token', 'revoke', token.id, ...at);
    assert.equal(revoked.code, 0, revoked.stderr);
    assert.equal(await b.bySession(session), null, 'at once');
    await b.access.poll();
    assert.deepEqual(b.ended, [{ id: token.id, kind: 'person', hostId: null }]);
    await b.access.poll();
    assert.equal(b.ended.length, 1);
    const again = await imdswatch('token', 'revoke', token.id, ...at);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /no token .* to revoke/);
    const entries = await b.access.auditLog({ limit: 9 });
    const actions = entries.map(({ action, actor }) => `${action} ${actor.split(':')[0]}`);
    assert.deepEqual(actions, ['token.revoke command', 'session.open alice', 'token.create command']);
  });

  it("revokes a host's credential by the host's id", async () => {
    const b = await bench();
    const at = ['--data-dir', b.directory];
    const credential = (await b.access.enrol('i-0abc'))!;
    await b.agent(credential);
    const revoked = await imdswatch('token', 'revoke', '--host-id', 'i-0abc', ...at);
    assert.equal(revoked.code, 0, revoked.stderr);
    assert.match(revoked.stderr, /may enrol again/);
    await b.access.poll();
    assert.deepEqual(
      b.ended.map(({ hostId }) => hostId),
      ['i-0abc'],
    );
    assert.equal(await b.agent(credential), null);
    assert.notEqual(await b.access.enrol('i-0abc'), null);
  });

  it('prints a link that signs in once, to where the collector is found', async () => {
    const b = await bench();
    const at = ['--data-dir', b.directory];
    const unknown = await imdswatch('token', 'sign-in-link', ...at);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /--public-url/);
    await b.access.setAddress('https://collector.example:8787/');
    const printed = await imdswatch('token', 'sign-in-link', '--role', 'viewer', ...at);
    assert.match(printed.stdout, /^https:\/\/collector\.example:8787\/sign-in#imdsw_c[\w-]{43}\n$/);
    const code = printed.stdout.trim().split('#')[1]!;
    assert.equal((await b.signIn(code)).principal.role, 'viewer');
    assert.equal(await b.access.signIn(code, null), null);
    assert.equal((await imdswatch('token', 'sign-out-all', ...at)).code, 0);
  });

  it('reports what is wrong with its arguments', async () => {
    const b = await bench();
    const empty = mkdtempSync(join(tmpdir(), 'imdswatch-token-'));
    const at = ['--data-dir', b.directory];
    const cases: [string[], number, RegExp][] = [
      [[], 2, /token SUBCOMMAND/],
      [['grant'], 2, /There is no subcommand "imdswatch token grant"/],
      [['create', ...at], 2, /--kind/],
      [['create', '--kind', 'person', '--name', 'x', ...at], 2, /needs a role/],
      [['create', '--kind', 'person', '--role', 'admin', ...at], 2, /needs --name/],
      [['create', '--kind', 'enrolment', '--role', 'admin', ...at], 2, /--role is only for a person/],
      [['create', '--kind', 'agent', ...at], 2, /needs host_id/],
      [['revoke', ...at], 2, /Name one token/],
      [['revoke', 'one', 'two', ...at], 2, /"two" is not expected/],
      [['list', '--data-dir', empty], 1, /There is no .*admin\.db/],
    ];
    const results = await Promise.all(cases.map(([args]) => imdswatch('token', ...args)));
    for (const [index, [args, code, message]] of cases.entries()) {
      assert.equal(results[index]!.code, code, `${args.join(' ')}: ${results[index]!.stderr}`);
      assert.match(results[index]!.stderr, message);
      assert.equal(results[index]!.stdout, '');
    }
    assert.deepEqual(await b.access.tokens(), []);
    assert.deepEqual(readdirSync(empty), [], 'a mistyped directory gets no database');
    rmSync(empty, { recursive: true });
  });
});
