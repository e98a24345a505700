/** Secrets that pass by, planted and real: none of them is in an output, a log, the spool or the database. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../../lab/lab.ts';
import { IMDS_IPV4 } from '../../protocol/endpoints.ts';
import { eventually } from '../support/collector/stored.ts';
import { MAIN, skip, startWatch, truthsSince } from '../support/lab/watch_lab.ts';

const BASE = `http://${IMDS_IPV4}`;
const ROLES = `${BASE}/latest/meta-data/iam/security-credentials/`;
const PLANTED = {
  password: 'Planted-hunter2-Password',
  query: 'Planted-Query-Secret-77',
  secretKey: 'wJalrXUtnFEMIK7MDENGbPxRfiCYPLANTEDKEY0',
  bearer: 'PlantedBearer0123456789',
  token: `AQAEPlanted${'aB3dE'.repeat(9)}==`,
};

describe('secrets', () => {
  let lab: Lab;
  before(async () => {
    if (skip) return;
    lab = await Lab.create({ name: 'secrets' });
  });
  after(() => lab?.close());

  /** Has clients hand secrets about in every way, and returns all that must not be found. */
  async function handSecretsAbout(): Promise<string[]> {
    const { stdout: token } = await lab.run([
      'curl',
      '-s',
      '-X',
      'PUT',
      '-H',
      'X-aws-ec2-metadata-token-ttl-seconds: 60',
      `${BASE}/latest/api/token`,
    ]);
    const header = `X-aws-ec2-metadata-token: ${token}`;
    const { stdout: role } = await lab.run(['curl', '-s', '-H', header, ROLES]);
    const { stdout: body } = await lab.run(['curl', '-s', '-H', header, ROLES + role.trim()]);
    await lab.run(['curl', '-s', ROLES + role.trim()]);
    const credentials = JSON.parse(body) as { SecretAccessKey: string; Token: string };
    for (const argv of [
      ['curl', '-s', '-u', `somebody:${PLANTED.password}`, `${BASE}/latest/meta-data/`],
      ['curl', '-s', `${BASE}/latest/meta-data/?password=${PLANTED.query}&x=1`],
      ['curl', '-s', `${BASE}/latest/meta-data/?aws_secret_access_key=${PLANTED.secretKey}`],
      ['curl', '-s', '-A', `job Bearer ${PLANTED.bearer}`, `${BASE}/latest/meta-data/`],
      ['curl', '-s', '-H', `Authorization: Bearer ${PLANTED.bearer}`, `${BASE}/latest/user-data`],
      ['curl', '-s', '-H', `X-aws-ec2-metadata-token: ${PLANTED.token}`, `${BASE}/latest/user-data`],
      ['curl', '-s', `${BASE}/latest/${PLANTED.token}`],
      [
        'curl',
        '-s',
        '-x',
        `http://somebody:${PLANTED.password}@${IMDS_IPV4}:80`,
        `${BASE}/latest/meta-data/`,
      ],
      ['sh', '-c', `curl -s --data 'password=${PLANTED.password}' ${BASE}/latest/user-data; true`],
    ]) {
      await lab.run(argv);
    }
    return [token.trim(), credentials.SecretAccessKey, credentials.Token, ...Object.values(PLANTED)];
  }

  it('are in nothing that watch prints', { skip }, async () => {
    const watcher = await startWatch(lab);
    const secrets = await handSecretsAbout();
    await watcher.settle((await truthsSince(lab, watcher)).length);
    const printed = JSON.stringify(watcher.calls);
    await watcher.stop();
    assert.ok(watcher.calls.length >= 13);
    for (const secret of secrets) {
      assert.ok(secret.length > 12, 'a secret worth looking for');
      assert.ok(
        !printed.includes(secret) && !watcher.complaints.includes(secret),
        `${secret.slice(0, 8)}… was printed`,
      );
    }
    assert.ok(printed.includes('security-credentials'), 'what may be said is said');
  });

  it('are in nothing that up logs, spools and stores', { skip }, async () => {
    const [data, spool] = [join(lab.home, 'data'), join(lab.home, 'spool')];
    const up = lab.spawn([
      process.execPath,
      MAIN,
      'up',
      '--listen',
      '127.0.0.1:18787',
      '--data-dir',
      data,
      '--spool-dir',
      spool,
      '--log-level',
      'trace',
      '--detail',
      'all',
    ]);
    let log = '';
    for (const stream of [up.child.stdout, up.child.stderr])
      stream?.on('data', (chunk) => {
        log += chunk;
      });
    for (let n = 0; n < 600 && !/the agent watches/.test(log); n++) await sleep(100);
    const secrets = await handSecretsAbout();
    const texts = () => {
      const files = [data, spool].flatMap((directory) =>
        readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => join(directory, name)),
      );
      // A file of the spool is deleted when its records are acknowledged.
      const isThere = (file: string) => statSync(file, { throwIfNoEntry: false })?.isFile() === true;
      return files.filter(isThere).map((file) => [file, readFileSync(file, 'latin1')] as const);
    };
    const isStored = () => texts().some(([, text]) => text.includes('behind-all-others'));
    await lab.run(['curl', '-s', `${BASE}/latest/meta-data/behind-all-others`]);
    await eventually('the last call is stored', isStored);
    const found = () => {
      assert.ok(isStored(), 'the calls were stored');
      return [...texts(), ['the log', log] as const].flatMap(([file, text]) =>
        secrets
          .filter((secret) => text.includes(secret))
          .map((secret) => `${secret.slice(0, 8)}… in ${file}`),
      );
    };
    assert.deepEqual(found(), [], 'while it runs: spool and write-ahead log');
    const { stdout, stderr } = await lab.run([
      process.execPath,
      MAIN,
      'offenders',
      '--json',
      '--data-dir',
      data,
    ]);
    assert.match(stdout, /curl/, stderr);
    assert.deepEqual(
      secrets.filter((secret) => stdout.includes(secret)),
      [],
    );
    await up.stop();
    assert.deepEqual(found(), [], 'after its end');
  });
});
