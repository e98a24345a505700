/** Commands on the collector's machine read its configuration and give the verdicts that its page shows. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { BurnDown, FixFirst } from '../../../../collector/contract/fix_first.ts';
import type { Group } from '../../../../collector/contract/group.ts';
import type { Host, HostDetail, Readiness } from '../../../../collector/contract/host.ts';
import type { Offender } from '../../../../collector/contract/offender.ts';
import type { Triage } from '../../../../collector/contract/triage.ts';
import { DAY_US } from '../../../../collector/contract/window.ts';
import type { Collector } from '../../../../collector/main.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import { makeCall, processFacts } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { newFindings, watched } from '../../../support/collector/insight/findings.ts';

const run = promisify(execFile);
const MAIN = join(import.meta.dirname, '../../../../cli/main.ts');
/** Each of these makes another verdict of some host than the defaults would. */
const SETTINGS = { readiness_window_days: 2, readiness_max_missing_seconds: 100, silent_after_seconds: 7200 };

describe('verdicts of the page and of the commands', () => {
  const bench = new Bench();
  let collector: Collector;
  let cookie: string;
  let file: string;
  const secretOf = { viewer: '', admin: '' };

  before(async () => {
    const { dataDir, store, put } = newFindings(bench);
    const nowUs = Date.now() * 1000;
    const ago = (us: number) => toTimestamp(nowUs - us);
    const host = (id: string) => ({ id, name: `name of ${id}`, tags: { team: 'shop' } });
    const call = (id: string, changes = {}) =>
      makeCall({ host: host(id), time: ago(3 * DAY_US), ...changes });
    // The first host is ready in two days and 100 s of tolerance, the second had calls before the window.
    await put(
      call('i-ready', { 'imds.version': 2, 'imds.server_version': 2 }),
      watched('i-ready', ago(4 * DAY_US), ago(DAY_US)),
    );
    await put(
      call('i-ready', { 'imds.version': 2, 'imds.server_version': 2, time: ago(1e9) }),
      watched('i-ready', ago(DAY_US - 90e6), ago(0)),
    );
    await put(call('i-mended'), watched('i-mended', ago(4 * DAY_US), ago(0)));
    await put(
      call('i-blocked', { time: ago(DAY_US), process: processFacts({ script: '/opt/poll.py' }) }),
      watched('i-blocked', ago(4 * DAY_US), ago(0)),
    );
    await store.close();
    const settings = { ...SETTINGS, data_dir: dataDir, listen: '127.0.0.1:0', max_connections: 7 };
    file = join(bench.directory(), 'collector.yaml');
    writeFileSync(
      file,
      Object.entries(settings)
        .map(([key, value]) => `${key}: ${value}\n`)
        .join(''),
    );
    collector = await bench.collector(settings);
    const link = new URL(await collector.signInLink());
    const answer = await fetch(new URL('/api/v1/session', collector.pageUrl), {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: collector.pageUrl },
      body: JSON.stringify({ secret: link.hash.slice(1) }),
    });
    assert.equal(answer.ok, true, await answer.clone().text());
    cookie = answer.headers.getSetCookie()[0]!.split(';')[0]!;
    for (const role of ['viewer', 'admin'] as const) {
      const token = ['token', 'create', '--kind', 'person', '--role', role, '--name', role];
      secretOf[role] = (await run(process.execPath, [MAIN, ...token, '--config', file])).stdout.trim();
    }
  });
  after(() => bench.end());

  async function page<T>(path: string): Promise<T> {
    const answer = await fetch(new URL(`/api/v1${path}`, collector.pageUrl), { headers: { cookie } });
    assert.equal(answer.status, 200, path);
    return (await answer.json()) as T;
  }

  const command = <T>(...args: string[]) => commandWith<T>({}, ...args);

  async function commandWith<T>(added: Record<string, string>, ...args: string[]): Promise<T> {
    // Settings of the machine would change verdicts; everything else, such as a faked clock, is inherited.
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith('IMDSWATCH_'));
    const env = { ...Object.fromEntries(own), ...added };
    const { stdout } = await run(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], {
      env,
    });
    return JSON.parse(stdout) as T;
  }

  /** Everything but the seconds that pass between two questions. */
  const judgement = ({ verdict, calls_v1, offenders, coverage, command: advised }: Readiness) => ({
    verdict,
    calls_v1,
    offenders,
    gaps: coverage.gaps.map(({ reason, seconds }) => [reason, Math.round(seconds)]),
    advised,
  });

  it('readiness: the same verdict of every host, with its evidence', async () => {
    const { items } = await page<{ items: Host[] }>('/hosts');
    const expected = new Map(items.map(({ id, verdict }) => [id, verdict]));
    assert.deepEqual(Object.fromEntries(expected), {
      'i-ready': 'ready',
      'i-mended': 'ready',
      'i-blocked': 'blocked',
    });
    const listed = await command<(Host & { readiness: Readiness })[]>(
      'readiness',
      '--json',
      '--config',
      file,
    );
    assert.deepEqual(new Map(listed.map(({ id, verdict }) => [id, verdict])), expected);
    for (const { id, readiness } of listed) {
      const shown = await page<HostDetail>(`/hosts/${id}`);
      assert.deepEqual(judgement(readiness), judgement(shown.readiness), id);
    }
  });

  it('readiness: flags still win over the file, and the defaults give other verdicts', async () => {
    const flags = ['--config', file, '--readiness-window-days', '14'];
    const listed = await command<Host[]>('readiness', '--json', ...flags);
    const verdicts = Object.fromEntries(listed.map(({ id, verdict }) => [id, verdict]));
    assert.deepEqual(verdicts, { 'i-ready': 'unproven', 'i-mended': 'blocked', 'i-blocked': 'blocked' });
  });

  it('offenders: the same ones in the same window', async () => {
    const { items } = await page<{ items: Offender[] }>('/offenders');
    const listed = await command<Offender[]>('offenders', '--json', '--config', file);
    const facts = (found: Offender[]) =>
      found.map(({ id, severity, calls_v1, host_count }) => [id, severity, calls_v1, host_count]);
    assert.equal(items.length, 1);
    assert.deepEqual(facts(listed), facts(items));
    const ever = await command<Offender[]>('offenders', '--json', '--since', 'all', '--config', file);
    assert.equal(ever.length, 2);
  });

  it('readiness, groups, offenders and fixes: the same from another machine', async () => {
    const elsewhere = async <T>(...args: string[]): Promise<T> => {
      const env = { IMDSWATCH_COLLECTOR: collector.pageUrl, IMDSWATCH_COLLECTOR_TOKEN: secretOf.viewer };
      return commandWith<T>(env, ...args, '--json');
    };
    type Judged = (Host & { readiness: Readiness })[];
    const judged = (hosts: Judged) => hosts.map(({ id, readiness }) => [id, judgement(readiness)]);
    const here = (...args: string[]) => command<Judged>('readiness', '--json', '--config', file, ...args);
    assert.deepEqual(judged(await elsewhere<Judged>('readiness')), judged(await here()));
    const one = await elsewhere<Judged>('readiness', '--host', 'name of i-ready');
    assert.deepEqual(judged(one), judged(await here('--host', 'i-ready')));
    await assert.rejects(elsewhere('readiness', '--host', 'ready'), { code: 1, stderr: /No host "ready"/ });

    const groups = (found: Group[]) => found.map(({ id, verdict, reason }) => [id, verdict, reason]);
    const byTeam = ['readiness', '--group-by', 'tag:team'];
    const listed = await elsewhere<Group[]>(...byTeam);
    assert.deepEqual(groups(listed), groups(await command<Group[]>(...byTeam, '--json', '--config', file)));
    assert.equal((await elsewhere<Group>('readiness', '--group', listed[0]!.id)).verdict, listed[0]!.verdict);
    await assert.rejects(elsewhere('readiness', '--group', 'asg:none'), { code: 1, stderr: /No instance/ });

    const facts = (found: Offender[]) => found.map(({ id, severity, calls_v1 }) => [id, severity, calls_v1]);
    for (const args of [[], ['--since', 'all'], ['--all'], ['--since', '1d']]) {
      const there = await elsewhere<Offender[]>('offenders', ...args);
      const local = await command<Offender[]>('offenders', '--json', '--config', file, ...args);
      assert.deepEqual(facts(there), facts(local), args.join(' '));
    }
    const falling = await elsewhere<BurnDown>('offenders', '--burn-down');
    const fallingHere = await command<BurnDown>('offenders', '--burn-down', '--json', '--config', file);
    assert.deepEqual(falling.days.at(-1), fallingHere.days.at(-1));
    const fixes = await elsewhere<FixFirst>('offenders', '--fix-first');
    assert.deepEqual(
      fixes.fixes,
      (await command<FixFirst>('offenders', '--fix-first', '--json', '--config', file)).fixes,
    );
  });

  it('triage from another machine: by an admin, not by a viewer', async () => {
    const change = ['triage', '/opt/poll.py', '--state', 'in_progress', '--owner', 'payments', '--json'];
    const remote = (token: string) =>
      commandWith<Triage>(
        { IMDSWATCH_COLLECTOR: collector.pageUrl, IMDSWATCH_COLLECTOR_TOKEN: token },
        ...change,
      );
    await assert.rejects(remote(secretOf.viewer), { code: 3, stderr: /needs a token of the role admin/ });
    const changed = await remote(secretOf.admin);
    assert.deepEqual([changed.state, changed.owner, changed.set_by], ['in_progress', 'payments', 'admin']);
  });

  it('scan: the same verdicts for resources whose hosts report, from the store and over HTTP', async () => {
    const directory = bench.directory();
    const resource = (id: string) => ({
      mode: 'managed',
      type: 'aws_instance',
      name: id,
      instances: [{ attributes: { id, metadata_options: [{ http_tokens: 'optional' }] } }],
    });
    const resources = ['i-ready', 'i-blocked', 'i-elsewhere'].map(resource);
    const state = join(directory, 'terraform.tfstate');
    writeFileSync(state, JSON.stringify({ version: 4, terraform_version: '1.9.0', resources }));
    type Found = { findings: { subject: string; readiness: { state: string } }[] };
    const scannedWith = async (env: Record<string, string>, ...args: string[]) => {
      const flags = ['--format', 'json', '--fail-on', 'none', '--config', file];
      const { findings } = await commandWith<Found>(env, 'scan', state, ...flags, ...args);
      return Object.fromEntries(findings.map(({ subject, readiness }) => [subject, readiness.state]));
    };
    const expected = {
      'aws_instance.i-ready': 'safe',
      'aws_instance.i-blocked': 'blocked',
      'aws_instance.i-elsewhere': 'unmatched',
    };
    assert.deepEqual(await scannedWith({}, '--local-hosts'), expected);
    const remote = ['--collector', collector.pageUrl];
    const withToken = (token: string) => scannedWith({ IMDSWATCH_COLLECTOR_TOKEN: token }, ...remote);
    assert.deepEqual(await withToken(secretOf.viewer), expected);
    await assert.rejects(withToken('imdsw_pwrong'), {
      code: 3,
      stderr: /does not accept the token .*\(401\)/,
    });
    await assert.rejects(scannedWith({}, ...remote), { code: 2, stderr: /IMDSWATCH_COLLECTOR_TOKEN/ });
  });

  it('a setting that the collector would refuse is refused by every command that reads its file', async () => {
    const bad = join(bench.directory(), 'collector.yaml');
    writeFileSync(bad, 'listen: nowhere\n');
    for (const args of [['readiness'], ['offenders'], ['token', 'list'], ['alert', 'list']]) {
      await assert.rejects(command(...args, '--config', bad), { code: 2, stderr: /listen is "nowhere"/ });
    }
    writeFileSync(bad, 'lisen: 127.0.0.1:1\n');
    await assert.rejects(command('readiness', '--config', bad), { code: 2, stderr: /no setting "lisen"/ });
  });
});
