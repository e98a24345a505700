/**
 * docker/compose.ha.yaml and docker/ha, as far as they can be checked without running them: by the programs themselves, and
 * against one another. `npm run test:ha` runs them.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { collectorSettings } from '../../../collector/config.ts';
import { parseDatabaseUrl } from '../../../collector/store/postgres/database_url.ts';
import { programPath } from '../../../lab/engines/need.ts';
import { ROOT } from '../../support/docker/images.ts';

const run = promisify(execFile);
const HA = join(ROOT, 'docker/ha');
const COMPOSE = join(ROOT, 'docker/compose.ha.yaml');
const OWNER = 65_532;
const needsRoot =
  process.getuid?.() === 0 ? false : 'needs root: the files of make-secrets belong to uid 65532';
/** A drain lasts so much longer than drain_seconds at most (docs/operate.md). */
const DRAIN_OVERTIME_SECONDS = 10;

interface Service {
  image: string;
  environment?: Record<string, string | number>;
  secrets: string[];
  networks: string[] | Record<string, unknown>;
  stop_grace_period?: string;
  hostname?: string;
  healthcheck?: { test?: string[] };
  [key: string]: unknown;
}

const compose = parse(readFileSync(COMPOSE, 'utf8'), { merge: true }) as {
  services: Record<string, Service>;
  secrets: Record<string, { file: string }>;
};
const named = (prefix: string) =>
  Object.entries(compose.services).filter(([name]) => name.startsWith(prefix)) as [string, Service][];
const haproxy = readFileSync(join(HA, 'haproxy.cfg'), 'utf8');
const presets = Object.fromEntries(
  [...haproxy.matchAll(/^ {4}presetenv (\w+) (?:"([^"]*)"|(\S+))$/gm)].map(([, name, quoted, plain]) => [
    name,
    quoted ?? plain,
  ]),
);

let secrets: string;
before(() => {
  secrets = mkdtempSync(join(tmpdir(), 'imdswatch-secrets-'));
});
after(() => rmSync(secrets, { recursive: true, force: true }));

const makeSecrets = async (...names: string[]) =>
  await run(join(HA, 'make-secrets'), names, {
    env: { PATH: process.env['PATH']!, IMDSWATCH_HA_SECRETS: secrets },
  });

describe('make-secrets', { skip: needsRoot }, () => {
  const read = (name: string) => readFileSync(join(secrets, name), 'utf8');
  const verify = async (authority: string, name: string, host: string) =>
    await run('openssl', [
      ...['verify', '-CAfile', join(secrets, authority), '-verify_hostname', host],
      ...['-purpose', 'sslserver', join(secrets, name)],
    ]);

  it('makes what compose.ha.yaml names, readable for the containers alone', async () => {
    await makeSecrets('collector.example.com', '192.0.2.7');
    for (const name of Object.keys(compose.secrets)) {
      const { uid, mode, size } = statSync(join(secrets, name));
      assert.ok(size > 0, name);
      assert.equal(uid, OWNER, name);
      assert.equal(mode & 0o777, name === 'ca.crt' ? 0o444 : 0o400, name);
    }
    for (const key of ['ca.key', 'cluster-ca.key']) {
      assert.deepEqual(
        [statSync(join(secrets, key)).uid, statSync(join(secrets, key)).mode & 0o777],
        [0, 0o400],
      );
      assert.equal(key in compose.secrets, false, `${key} is in no container`);
    }
    const { agent_token, database_password } = {
      agent_token: read('agent_token'),
      database_password: read('database_password'),
    };
    assert.notEqual(agent_token, database_password);
    assert.match(agent_token, /^[0-9a-f]{48}\n$/);
  });

  it('makes certificates for the names that are verified, and no others of the cluster', async () => {
    await verify('ca.crt', 'haproxy.pem', 'collector.example.com');
    await verify('ca.crt', 'collector.crt', 'collector');
    for (const name of ['database', 'postgres-1', 'postgres-2', 'postgres-3', 'localhost'])
      await verify('ca.crt', 'postgres.crt', name);
    for (const name of ['etcd-1', 'etcd-2', 'etcd-3', 'localhost'])
      await verify('cluster-ca.crt', 'cluster.crt', name);
    await assert.rejects(verify('ca.crt', 'cluster.crt', 'etcd-1'));
    await assert.rejects(verify('cluster-ca.crt', 'postgres.crt', 'database'));
    await assert.rejects(verify('ca.crt', 'postgres.crt', 'collector'));
  });

  it('keeps passwords and authorities, and makes new certificates, in the same files', async () => {
    const kept = ['agent_token', 'database_password', 'ca.crt', 'ca.key', 'cluster-ca.crt'];
    const before = Object.fromEntries(kept.map((name) => [name, read(name)]));
    const certificate = read('collector.crt');
    const { ino } = statSync(join(secrets, 'collector.crt'));
    await makeSecrets('other.example.com');
    for (const name of kept) assert.equal(read(name), before[name], name);
    assert.notEqual(read('collector.crt'), certificate);
    assert.equal(statSync(join(secrets, 'collector.crt')).ino, ino);
    await verify('ca.crt', 'haproxy.pem', 'other.example.com');
    await assert.rejects(verify('ca.crt', 'haproxy.pem', 'collector.example.com'));
  });

  it('says how it is used', async () => {
    await assert.rejects(makeSecrets(), { code: 2, stderr: /NAME…/ });
  });
});

describe('the settings of each part', () => {
  it('docker-compose takes the file', async (t) => {
    const program = programPath('docker-compose');
    if (program === null) return t.skip('docker-compose is missing');
    const { stdout } = await run(program, [
      '--project-name',
      'check',
      '--file',
      COMPOSE,
      'config',
      '--services',
    ]);
    assert.deepEqual(stdout.trim().split('\n').sort(), Object.keys(compose.services).sort());
  });

  it('HAProxy takes haproxy.cfg as it is shipped, and without TLS for tests', {
    skip: needsRoot,
  }, async (t) => {
    const program = programPath('haproxy');
    if (program === null) return t.skip('haproxy is missing');
    await makeSecrets('collector.example.com');
    const file = join(secrets, 'haproxy.cfg');
    writeFileSync(file, haproxy.replaceAll('/run/secrets', secrets));
    // Names of containers are looked up later.
    const check = async (env: Record<string, string>) =>
      await run(program, ['-c', '-f', file], { env: { PATH: process.env['PATH']!, ...env } });
    await check({});
    const places = { COLLECTOR_1: '127.0.0.1:1', POSTGRES_1: '127.0.0.1:2', PATRONI_PORT_1: '3' };
    await check({ ...places, COLLECTOR_BIND_OPTIONS: '', COLLECTOR_OPTIONS: '', PATRONI_OPTIONS: '' });
    await assert.rejects(check({ COLLECTOR_OPTIONS: 'no-such-option' }));
  });

  it('Patroni takes patroni.yml together with the environment of a server', async (t) => {
    const program = programPath('patroni');
    if (program === null) return t.skip('patroni is missing');
    // Its check reads the file alone, and wants pg_hba in the part that makes a cluster.
    const config = parse(readFileSync(join(HA, 'patroni.yml'), 'utf8'));
    config.name = 'postgres-1';
    config.restapi.connect_address = '192.0.2.1:8008';
    config.postgresql.connect_address = '192.0.2.1:5432';
    // It connects to etcd, and asks nothing.
    const etcd = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
    await once(etcd, 'listening');
    config.etcd3.hosts = [`127.0.0.1:${(etcd.address() as AddressInfo).port}`];
    config.bootstrap.pg_hba = config.postgresql.pg_hba;
    config.postgresql.data_dir = join(secrets, 'data');
    for (const user of Object.values(config.postgresql.authentication))
      (user as { password: string }).password = 'x';
    const file = join(secrets, 'patroni.yml');
    writeFileSync(file, JSON.stringify(config));
    const checked = await run(program, ['--validate-config', file]).catch((error) => error);
    etcd.close();
    assert.equal(`${checked.stdout}${checked.stderr}`.trim(), '');
    const { ttl, loop_wait, retry_timeout } = config.bootstrap.dcs;
    assert.ok(loop_wait + 2 * retry_timeout <= ttl, 'as Patroni asks for');
  });

  it('scripts pass shellcheck', async (t) => {
    const shellcheck = programPath('shellcheck');
    if (shellcheck === null) return t.skip('shellcheck is missing (Debian shellcheck)');
    const scripts = ['make-secrets', 'patroni-environment', 'patronictl', 'create-database'].map((name) =>
      join(HA, name),
    );
    const checked = await run(shellcheck, scripts).catch((error) => error);
    assert.equal(checked.stdout, '');
  });
});

describe('the parts of compose.ha.yaml fit together', () => {
  it('haproxy.cfg names the collectors and servers that there are', () => {
    assert.deepEqual(
      ['COLLECTOR_1', 'COLLECTOR_2', 'COLLECTOR_3'].map((name) => presets[name]),
      named('collector-').map(([name]) => `${name}:8787`),
    );
    assert.deepEqual(
      ['POSTGRES_1', 'POSTGRES_2', 'POSTGRES_3'].map((name) => presets[name]),
      named('postgres-').map(([name]) => `${name}:5432`),
    );
    for (const variable of haproxy.matchAll(/\$\{(\w+)/g)) assert.ok(variable[1]! in presets, variable[1]);
  });

  it('every secret file that a part reads is given to it, and no other', () => {
    const patroni = readFileSync(join(HA, 'patroni.yml'), 'utf8');
    const scripts = ['patroni-environment', 'create-database']
      .map((name) => readFileSync(join(HA, name), 'utf8'))
      .join();
    const passwords = [...scripts.matchAll(/\(secret (\w+)\)/g)].map(([, name]) => name!);
    for (const [name, service] of Object.entries(compose.services)) {
      const texts = [JSON.stringify(service)];
      if (name === 'haproxy') texts.push(haproxy);
      if (name.startsWith('postgres-')) texts.push(patroni, scripts);
      const read = texts.flatMap((text) =>
        [...text.matchAll(/\/run\/secrets\/([\w.-]+\w)/g)].map(([, file]) => file!),
      );
      if (name.startsWith('postgres-')) read.push(...passwords);
      assert.deepEqual([...new Set(read)].sort(), [...service.secrets].sort(), name);
    }
  });

  it('collectors: settings exist, the database is verified, and there is time for the drain', () => {
    for (const [name, { environment, stop_grace_period: grace }] of named('collector-')) {
      const settings = Object.fromEntries(
        Object.entries(environment!).map(([key, value]) => [
          key.replace('IMDSWATCH_', '').toLowerCase(),
          value,
        ]),
      );
      for (const key of Object.keys(settings)) {
        // Node reads this one.
        assert.ok(key in collectorSettings.shape || key === 'node_options', key);
      }
      const address = parseDatabaseUrl(String(settings['store']));
      assert.equal(address.hosts[0]!.host, 'database', name);
      assert.doesNotMatch(String(settings['store']), /sslmode/, 'the default verifies everything');
      const needed = Number(settings['drain_seconds']) + DRAIN_OVERTIME_SECONDS;
      assert.ok(Number.parseInt(grace!, 10) > needed, `${name}: ${grace} for ${needed} s`);
      // HAProxy asks every 2 s, and twice; nothing is closed in the first third.
      assert.ok(Number(settings['drain_seconds']) / 3 > 5);
    }
  });

  it('every part is bounded, is checked, and may do little', () => {
    for (const [name, service] of Object.entries(compose.services)) {
      assert.ok(service['mem_limit'] && service['pids_limit'], name);
      assert.ok(service.healthcheck, name);
      assert.deepEqual(service['cap_drop'], ['ALL'], name);
      assert.equal(service['read_only'], true, name);
      assert.deepEqual(service['security_opt'], ['no-new-privileges:true'], name);
    }
    const reaches = (network: string) =>
      Object.entries(compose.services)
        .filter(([, { networks }]) =>
          (Array.isArray(networks) ? networks : Object.keys(networks)).includes(network),
        )
        .map(([name]) => name.replace(/-\d$/, ''));
    assert.deepEqual(new Set(reaches('cluster')), new Set(['postgres', 'etcd']), 'nobody else reaches etcd');
    assert.deepEqual(new Set(reaches('agents')), new Set(['haproxy', 'collector']));
    assert.deepEqual(new Set(reaches('database')), new Set(['haproxy', 'postgres']));
  });
});
