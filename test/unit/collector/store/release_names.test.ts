/** The parts of paths that change with a release, by rules with examples. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  RELEASE_RULES,
  releaseIn,
  releasePattern,
  stablePath,
} from '../../../../collector/store/release_names.ts';

/** Pairs of paths of one workload. */
const same: [string, string][] = [
  ['/opt/shop/1.2.3/bin/shop', '/opt/shop/1.10.0-rc.1/bin/shop'],
  ['/snap/amazon-ssm-agent/7628/amazon-ssm-agent', '/snap/amazon-ssm-agent/x1/amazon-ssm-agent'],
  ['/usr/lib/jvm/java-11-openjdk-amd64/bin/java', '/usr/lib/jvm/temurin-21-jdk-amd64/bin/java'],
  ['/usr/bin/python3.9', '/usr/bin/python3.12'],
  ['/root/.nvm/versions/node/v16.20.2/bin/node', '/root/.nvm/versions/node/v20.0.0/bin/node'],
  ['/home/a/.pyenv/versions/3.9.18/bin/python3.9', '/home/a/.pyenv/versions/3.11.4/bin/python3.11'],
  ['/srv/shop/releases/20240101000000/bin/work', '/srv/shop/releases/20240202000000/bin/work'],
  ['/srv/shop/releases/41/worker.py', '/srv/shop/releases/42/worker.py'],
  ['/opt/tomcat/apache-tomcat-9.0.80/bin/x.jar', '/opt/tomcat/apache-tomcat-10.1.0-M1/bin/x.jar'],
  ['/srv/app-1.2.3.jar', '/srv/app-2.0.0-SNAPSHOT.jar'],
  ['/usr/lib/postgresql/15.4/bin/postgres', '/usr/lib/postgresql/15.5-1ubuntu2/bin/postgres'],
  ['/usr/local/Cellar/ruby/3.2.2_1/bin/ruby', '/usr/local/Cellar/ruby/3.3.0/bin/ruby'],
  ['/usr/sbin/php-fpm8.1', '/usr/sbin/php-fpm8.3'],
];
/** Pairs of paths of different workloads. */
const different: [string, string][] = [
  ['/opt/shop-1.2.3-api/run', '/opt/shop-1.2.3-worker/run'],
  ['/srv/app-1.2.3-api.jar', '/srv/app-1.2.3-worker.jar'],
  ['/srv/app-1.2.jar', '/srv/app-1.2.sh'],
  ['/srv/customers/1234/sync.py', '/srv/customers/1235/sync.py'],
  ['/srv/10.0.0.1/run', '/srv/10.0.0.2/run'],
  ['/opt/redis-6379/run', '/opt/redis-6380/run'],
  ['/opt/shop/1.2.3/bin/api', '/opt/shop/1.2.3/bin/worker'],
  ['/opt/shop/1.2.3/bin/shop', '/opt/other/1.2.3/bin/shop'],
  ['/opt/shop/v1/run', '/opt/shop/v2/run'],
  ['/usr/bin/python3', '/usr/bin/pythonista'],
  ['/opt/s3/run', '/opt/s4/run'],
  ['/home/alice/a.sh', '/home/bob/a.sh'],
  ['/tmp/abcdef123456/x', '/tmp/abcdef123457/x'],
  ['/srv/agent_0.1.py', '/srv/agent_0.45.py'],
  ['/opt/jobs/sync-1.0.sh', '/opt/jobs/sync-2.0.sh'],
];

describe('releases of one workload', () => {
  for (const { examples } of RELEASE_RULES) {
    for (const [path, stable] of examples) {
      it(`${path} → ${stable}`, () => {
        assert.equal(stablePath(path), stable);
        assert.notEqual(releaseIn(path), null);
      });
    }
  }
  for (const [a, b] of same) it(`${a} and ${b} are one`, () => assert.equal(stablePath(a), stablePath(b)));
  for (const [a, b] of different) {
    it(`${a} and ${b} are two`, () => assert.notEqual(stablePath(a), stablePath(b)));
  }
  it('names the release', () => {
    assert.equal(releaseIn('/opt/shop/1.2.3/bin/shop'), '1.2.3');
    assert.equal(releaseIn('/usr/bin/python3.11'), '3.11');
    assert.equal(releaseIn('/snap/aws-cli/1234/bin/aws'), '1234');
    assert.equal(releaseIn('/usr/bin/curl'), null);
  });
  it('any two versions of a path are one, and a stable path stays as it is', () => {
    const version = fc.array(fc.nat(999), { minLength: 2, maxLength: 3 }).map((numbers) => numbers.join('.'));
    const name = fc.stringMatching(/^[a-z]{1,12}$/);
    fc.assert(
      fc.property(name, name, version, version, (directory, program, a, b) => {
        for (const form of [
          (v: string) => `/opt/${directory}/${v}/bin/${program}`,
          (v: string) => `/opt/${directory}-${v}/${program}`,
          (v: string) => `/srv/${directory}-v${v}.jar`,
        ]) {
          assert.equal(stablePath(form(a)), stablePath(form(b)));
          assert.equal(stablePath(stablePath(form(a))), stablePath(form(a)));
        }
      }),
    );
  });
  it('paths with other names are never joined', () => {
    const path = fc.stringMatching(/^(\/[a-z]{1,6}){1,4}$/);
    fc.assert(fc.property(path, (given) => assert.equal(stablePath(given), given)));
  });
});

describe('a release pattern of the configuration', () => {
  const patterns = [releasePattern('/srv/deploys/{release}/bin'), releasePattern('/opt/*/build-{release}')];
  it('joins what it describes, and nothing else', () => {
    const of = (path: string) => stablePath(path, patterns);
    assert.equal(of('/srv/deploys/blue/bin/x'), of('/srv/deploys/green/bin/x'));
    assert.notEqual(of('/srv/deploys/blue/lib/x'), of('/srv/deploys/green/lib/x'));
    assert.equal(of('/opt/shop/build-12/run'), of('/opt/shop/build-13/run'));
    assert.notEqual(of('/opt/shop/build-12/run'), of('/opt/cart/build-12/run'));
    assert.equal(releaseIn('/srv/deploys/blue/bin/x', patterns), 'blue');
  });
  it('is refused where it has no release or is not absolute', () => {
    for (const text of ['/srv/x', 'srv/{release}', '/a/{release}/{release}', ''])
      assert.throws(() => releasePattern(text), RangeError);
  });
});
