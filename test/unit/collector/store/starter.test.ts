/** A helper program is not the workload: the script, unit, cron entry or program that ran it is. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { HELPER_PROGRAMS } from '../../../../collector/store/helper_programs.ts';
import { starterOf } from '../../../../collector/store/starter.ts';
import { identityId, workloadIdentity } from '../../../../collector/store/workload_identity.ts';
import { BUILT_IN_RULES } from '../../../../collector/store/workload_rules.ts';
import type { ProcessFacts } from '../../../../protocol/call.ts';
import { chainOf, type Step } from '../../../support/collector/store/chains.ts';

const INIT = '/usr/lib/systemd/systemd: /sbin/init';
const CRON = '/usr/sbin/cron: /usr/sbin/cron -f';
const SSHD = '/usr/sbin/sshd: sshd: alice@pts/0';
const SHIM = '/usr/bin/containerd-shim-runc-v2: containerd-shim-runc-v2 -namespace moby';
const CURL = '/usr/bin/curl: curl -s http://169.254.169.254/latest/meta-data/instance-id';
const code = (executable: string, text: string): Step => ({ executable, args: ['sh', '-c', text] });
const HELPERS = BUILT_IN_RULES.helpers;

interface Case {
  /** The set-up, with its source where it was reported in public. */
  what: string;
  chain: [Step, ...Step[]];
  unit?: boolean;
  container?: boolean;
  /** Script, else executable, else starter and entry. */
  is: string;
  helper?: string | null;
}

const cases: Case[] = [
  {
    what: 'a script that runs curl, started by cron',
    chain: [
      CURL,
      '/usr/bin/bash: /bin/bash /opt/backup/nightly.sh',
      code('/usr/bin/dash', '/opt/backup/nightly.sh'),
      CRON,
      INIT,
    ],
    is: '/opt/backup/nightly.sh',
  },
  {
    what: 'curl in a pipeline of a subshell',
    chain: [CURL, '/usr/bin/bash: bash /opt/a.sh', '/usr/bin/bash: bash /opt/a.sh', INIT],
    is: '/opt/a.sh',
  },
  {
    what: 'a cron entry of code (awsdocs/elastic-beanstalk-samples#171 has such an entry for the leader only)',
    chain: [
      CURL,
      code('/usr/bin/dash', 'ID=$(curl  -s http://x); test "$ID" = leader && /opt/job'),
      CRON,
      CRON,
      INIT,
    ],
    unit: true,
    is: 'cron ID=$(curl -s http://x); test "$ID" = leader && /opt/job',
  },
  {
    what: 'a cron entry that is the helper itself, where the shell replaces itself',
    chain: [CURL, '/usr/sbin/crond: crond -n', INIT],
    is: 'cron curl -s http://169.254.169.254/latest/meta-data/instance-id',
  },
  {
    what: 'user data that runs /etc/eks/bootstrap.sh (awslabs/amazon-eks-ami#498)',
    chain: [
      CURL,
      '/usr/bin/bash: /bin/bash /etc/eks/bootstrap.sh my-cluster',
      '/usr/bin/bash: /bin/bash /var/lib/cloud/instances/i-0123456789abcdef0/scripts/part-001',
      '/usr/bin/python3.9: /usr/bin/python3 /usr/bin/cloud-init modules --mode=final',
      INIT,
    ],
    unit: true,
    is: '/etc/eks/bootstrap.sh',
  },
  {
    what: 'ec2net-functions, which dhclient runs (amazonlinux/amazon-ec2-net-utils#6)',
    chain: [
      CURL,
      '/usr/bin/bash: /bin/bash /etc/dhcp/dhclient.d/ec2dhcp.sh',
      '/usr/bin/bash: bash /usr/sbin/dhclient-script',
      '/usr/sbin/dhclient: dhclient eth0',
      INIT,
    ],
    is: '/etc/dhcp/dhclient.d/ec2dhcp.sh',
  },
  {
    what: 'wget in a script of Elastic Beanstalk (papertrail/remote_syslog2#248)',
    chain: [
      '/usr/bin/wget: wget -q -O - http://169.254.169.254/',
      '/usr/bin/bash: bash /tmp/../opt/01-set-hostname.sh',
      INIT,
    ],
    is: '/tmp/../opt/01-set-hostname.sh',
  },
  {
    what: 'ec2metadata, itself a script (guardian/amigo#562)',
    chain: [
      '/usr/bin/python3.8: /usr/bin/python3 /usr/bin/ec2metadata --instance-id',
      '/usr/bin/bash: bash /opt/riff-raff/start.sh',
      INIT,
    ],
    is: '/opt/riff-raff/start.sh',
    helper: '/usr/bin/ec2metadata',
  },
  {
    what: 'curl within ec2-metadata within a script: each of them is passed over',
    chain: [
      CURL,
      '/usr/bin/bash: /bin/bash /usr/bin/ec2-metadata -i',
      '/usr/bin/bash: bash /opt/tag.sh',
      INIT,
    ],
    is: '/opt/tag.sh',
  },
  {
    what: 'an ip-detect script of DC/OS in a unit (dcos/dcos gen/ip-detect/aws.sh)',
    chain: [
      CURL,
      '/usr/bin/dash: /bin/sh /opt/mesosphere/bin/detect_ip',
      '/opt/mesosphere/bin/mesos-master',
      INIT,
    ],
    unit: true,
    is: '/opt/mesosphere/bin/detect_ip',
  },
  {
    what: 'a unit of code (systemd.service(5): ExecStart)',
    chain: [CURL, code('/usr/bin/bash', 'while :; do curl x; done'), INIT],
    unit: true,
    is: 'unit',
  },
  { what: 'a unit that is curl', chain: [CURL, INIT], unit: true, is: 'unit' },
  {
    what: 'a transient unit of a user',
    chain: [CURL, '/usr/lib/systemd/systemd: systemd --user', INIT],
    unit: true,
    is: 'unit',
  },
  { what: 'an orphan in a login session', chain: [CURL, INIT], is: '/usr/bin/curl unknown' },
  {
    what: 'a person (Datadog rule csp_imds_request)',
    chain: [CURL, '/usr/bin/bash: -bash', SSHD, SSHD, INIT],
    is: '/usr/bin/curl session',
  },
  {
    what: 'ssh host command',
    chain: [CURL, code('/usr/bin/bash', 'curl x'), SSHD, INIT],
    is: '/usr/bin/curl session',
  },
  {
    what: 'a person’s script',
    chain: [CURL, '/usr/bin/bash: bash /home/alice/a.sh', '/usr/bin/bash: -bash', SSHD],
    is: '/home/alice/a.sh',
  },
  {
    what: 'sudo, env, timeout, xargs',
    chain: [
      CURL,
      '/usr/bin/xargs: xargs curl',
      '/usr/bin/timeout: timeout 5 x',
      '/usr/bin/env: env a',
      '/usr/bin/sudo: sudo x',
      '/usr/bin/bash: bash /opt/a.sh',
      INIT,
    ],
    is: '/opt/a.sh',
  },
  {
    what: 'run-parts runs a script',
    chain: [
      CURL,
      '/usr/bin/bash: bash /etc/cron.daily/tags',
      '/usr/bin/run-parts: run-parts /etc/cron.daily',
      CRON,
    ],
    is: '/etc/cron.daily/tags',
  },
  {
    what: 'an entry point of a container',
    chain: [CURL, '/usr/bin/busybox: /bin/sh /docker-entrypoint.sh', SHIM, INIT],
    container: true,
    is: '/docker-entrypoint.sh',
  },
  {
    what: 'code of a container',
    chain: ['/bin/busybox: wget -qO- http://169.254.169.254/', code('/bin/busybox', 'wget x'), SHIM, INIT],
    container: true,
    is: 'container',
    helper: '/bin/busybox',
  },
  {
    what: 'code of a container under tini',
    chain: [CURL, code('/bin/bash', 'curl x'), '/sbin/tini: tini -- sh', SHIM, INIT],
    container: true,
    is: 'container',
  },
  { what: 'a container without a name', chain: [CURL, SHIM, INIT], is: '/usr/bin/curl unknown' },
  {
    what: 'conmon',
    chain: [CURL, '/usr/bin/conmon: conmon --api-version 1', INIT],
    container: true,
    is: 'container',
  },
  {
    what: 'a hook of a release in Erlang (tracy-o/learning-day rel/hooks)',
    chain: [
      CURL,
      '/usr/bin/dash: sh /srv/app/releases/0.1.0/hooks/pre_configure.d/export_instance_ip.sh',
      '/usr/bin/dash: sh /srv/app/bin/app foreground',
      INIT,
    ],
    unit: true,
    is: '/srv/app/releases/0.1.0/hooks/pre_configure.d/export_instance_ip.sh',
  },
  {
    what: 'supervisord, program of code',
    chain: [
      CURL,
      code('/usr/bin/bash', 'while :; do curl x; done'),
      '/usr/bin/python3.11: /usr/bin/python3 /usr/bin/supervisord -n',
      INIT,
    ],
    unit: true,
    is: 'supervisor while :; do curl x; done',
  },
  {
    what: 'supervisord, program of a script',
    chain: [
      CURL,
      '/usr/bin/bash: bash /srv/w.sh',
      '/usr/bin/python3.11: /usr/bin/python3 /usr/bin/supervisord',
      INIT,
    ],
    is: '/srv/w.sh',
  },
  {
    what: 'a program that runs a shell',
    chain: [
      CURL,
      code('/usr/bin/dash', 'curl x'),
      '/usr/lib/jvm/java-17/bin/java: java -jar /srv/app.jar',
      INIT,
    ],
    unit: true,
    is: '/srv/app.jar',
  },
  {
    what: 'a native program',
    chain: [CURL, '/usr/local/bin/gitlab-runner', INIT],
    unit: true,
    is: '/usr/local/bin/gitlab-runner',
  },
  {
    what: 'node -e in a script',
    chain: [
      { executable: '/usr/bin/node', args: ['node', '-e', 'fetch(1)'] },
      '/usr/bin/bash: bash /opt/a.sh',
    ],
    is: '/opt/a.sh',
    helper: '/usr/bin/node',
  },
  {
    what: 'python -c in a script',
    chain: ['/usr/bin/python3.11: python3 -uc code', '/usr/bin/bash: bash /opt/a.sh'],
    is: '/opt/a.sh',
    helper: '/usr/bin/python3.11',
  },
  {
    what: 'AWS CLI 2',
    chain: ['/usr/local/aws-cli/v2/2.15.0/dist/aws: aws s3 ls', '/usr/bin/bash: bash /opt/a.sh'],
    is: '/opt/a.sh',
    helper: '/usr/local/aws-cli/v2/2.15.0/dist/aws',
  },
  {
    what: 'AWS CLI 1',
    chain: ['/usr/bin/python3.9: /usr/bin/python3 /usr/bin/aws s3 ls', '/usr/bin/bash: bash /opt/a.sh'],
    is: '/opt/a.sh',
    helper: '/usr/bin/aws',
  },
  {
    what: 'AWS CLI as a snap',
    chain: [
      '/snap/aws-cli/1234/bin/python3.8: python3 /snap/aws-cli/1234/bin/aws s3 ls',
      '/usr/bin/bash: bash /opt/a.sh',
    ],
    is: '/opt/a.sh',
    helper: '/snap/aws-cli/1234/bin/aws',
  },
  {
    what: 'the agent of SSM as a snap (aws/amazon-ssm-agent#319) is a workload',
    chain: ['/snap/amazon-ssm-agent/7628/amazon-ssm-agent', INIT],
    unit: true,
    is: '/snap/amazon-ssm-agent/7628/amazon-ssm-agent',
    helper: null,
  },
  {
    what: 'bash /dev/tcp in a script is the script',
    chain: ['/usr/bin/bash: bash /opt/a.sh', CRON],
    is: '/opt/a.sh',
    helper: null,
  },
  {
    what: 'a script whose shell had ended',
    chain: [CURL, '/usr/bin/bash', CRON, INIT],
    unit: true,
    is: '/usr/bin/curl unknown',
  },
  {
    what: 'a cron entry whose shell had ended',
    chain: [CURL, '/usr/sbin/cron', INIT],
    is: 'cron curl -s http://169.254.169.254/latest/meta-data/instance-id',
  },
  {
    what: 'a server in PHP is no code',
    chain: ['/usr/bin/php8.2: php -S 0.0.0.0:80', INIT],
    unit: true,
    is: '/usr/bin/php8.2',
    helper: null,
  },
  {
    what: 'java with a file of arguments is no code',
    chain: ['/usr/bin/java: java @/etc/app.args', '/usr/bin/bash: bash /srv/start.sh'],
    is: '/usr/bin/java',
    helper: null,
  },
  // Attempts to be taken for somebody else.
  {
    what: 'a program that calls itself curl',
    chain: ['/tmp/curl: curl x', '/usr/bin/bash: bash /opt/benign.sh'],
    is: '/tmp/curl',
    helper: null,
  },
  {
    what: 'a program in memory',
    chain: ['/memfd:curl: curl x', '/usr/bin/bash: bash /opt/benign.sh'],
    is: '/memfd:curl',
    helper: null,
  },
  {
    what: 'a program with the arguments of a script',
    chain: ['/opt/evil: bash /opt/benign.sh', INIT],
    is: '/opt/evil',
    helper: null,
  },
  {
    what: 'a program with the title of a daemon',
    chain: [{ executable: '/opt/evil', args: ['nginx: worker process'] }, INIT],
    is: '/opt/evil',
    helper: null,
  },
  {
    what: 'a shell that is named as a script',
    chain: [CURL, { executable: '/usr/bin/bash', args: ['/opt/benign.sh', '-c', 'curl x'] }, SSHD],
    is: '/usr/bin/curl session',
  },
];

const named = ({ unit = false, container = false }: Case) => ({ unit, container });

function nameOf(process: ProcessFacts, given: Case): string {
  const { executable, script, startedBy, entry } = starterOf(process, named(given), HELPERS);
  const program = script ?? executable;
  return [program, startedBy, entry].filter((part) => part !== null).join(' ');
}

describe('the workload behind a helper', () => {
  for (const each of cases) {
    it(`${each.what} → ${each.is}`, () => {
      const process = chainOf(...each.chain);
      assert.equal(nameOf(process, each), each.is);
      const { helper } = starterOf(process, named(each), HELPERS);
      const caller = process['executable.path'];
      assert.equal(helper, each.helper === undefined ? caller : each.helper);
    });
  }

  it('an agent of an earlier release reports no scripts of parents: nothing is guessed', () => {
    const process = chainOf(CURL, '/usr/bin/bash: bash /opt/a.sh', CRON);
    for (const parent of process.ancestors) delete parent.script;
    const identity = workloadIdentity({ ...EMPTY, process }, 'i-1', '10.0.0.1');
    assert.deepEqual([identity.executable, identity.startedBy], ['/usr/bin/curl', 'unknown']);
    // Its id is that of earlier releases.
    const helper = null;
    assert.equal(
      BUILT_IN_RULES.workloadId(identity),
      identityId({ ...identity, imageTag: null, helper, startedBy: null, entry: null }),
    );
  });

  it('two scripts are two workloads, with any helper they run; two users are too', () => {
    const idOf = (script: string, caller: Step, user = 'app') => {
      const process = { ...chainOf(caller, `/usr/bin/bash: bash ${script}`, CRON), 'owner.name': user };
      return BUILT_IN_RULES.workloadId(workloadIdentity({ ...EMPTY, process }, 'i-1', '10.0.0.1'));
    };
    assert.notEqual(idOf('/opt/a.sh', CURL), idOf('/opt/b.sh', CURL));
    assert.equal(idOf('/opt/a.sh', CURL), idOf('/opt/a.sh', '/usr/bin/wget: wget x'));
    assert.notEqual(idOf('/opt/a.sh', CURL), idOf('/opt/a.sh', CURL, 'root'));
  });

  it('is found behind every helper, and behind any number of them', () => {
    const helper = fc.constantFrom(...HELPER_PROGRAMS).map((name) => `/usr/bin/${name}: ${name} x`);
    fc.assert(
      fc.property(fc.array(helper, { minLength: 1, maxLength: 5 }), (steps) => {
        const chain = [...steps, '/usr/bin/bash: bash /opt/a.sh', INIT] as unknown as [Step, ...Step[]];
        const found = starterOf(chainOf(...chain), { unit: true, container: false }, HELPERS);
        assert.equal(found.script, '/opt/a.sh');
      }),
    );
  });

  it('arguments do not make a program another workload, unless it is a known helper', () => {
    const executable = fc.string({ minLength: 1 }).map((name) => `/srv/x-${name.replaceAll('/', '')}`);
    fc.assert(
      fc.property(executable, fc.array(fc.string()), (path, args) => {
        const process = chainOf({ executable: path, args }, '/usr/bin/bash: bash /opt/benign.sh', CRON);
        const found = starterOf(process, { unit: true, container: true }, HELPERS);
        assert.deepEqual([found.executable, found.script, found.helper], [path, null, null]);
      }),
    );
  });
});

const EMPTY = {
  container: null,
  k8s: null,
  systemd: null,
  'attribution.method': 'ebpf',
  'attribution.confidence': 'exact',
} as const;
