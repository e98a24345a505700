import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { SocketOwner } from '../../../../agent/attribution/owner.ts';
import { ProcessIdentity } from '../../../../agent/identity/process_identity.ts';
import { processFacts } from '../../../../protocol/call.ts';
import { ProcFixture } from '../../../support/agent/linux/proc_fixture.ts';

describe('what a process is', () => {
  let proc: ProcFixture;
  let identity: ProcessIdentity;
  let now: number;
  beforeEach(() => {
    proc = new ProcFixture();
    now = 0;
    proc.put({ pid: 1, name: 'systemd', startTicks: 1, executable: '/sbin/init', args: ['/sbin/init'] });
    proc.put({
      pid: 50,
      name: 'cron',
      parentPid: 1,
      startTicks: 50,
      executable: '/usr/sbin/cron',
      args: ['cron', '--token', 'abc'],
    });
    proc.put({
      pid: 100,
      name: 'python3',
      parentPid: 50,
      startTicks: 1234,
      executable: '/usr/bin/python3.11',
      args: ['python3', 'poll.py', '--password=hunter22'],
      workingDirectory: '/srv/app',
    });
    identity = new ProcessIdentity({
      procRoot: proc.root,
      passwdPath: `${proc.root}/passwd`,
      now: () => now,
    });
  });
  afterEach(() => proc.remove());

  const owner = (change: Partial<SocketOwner> = {}): SocketOwner => ({
    pid: 100,
    startTicks: 1234,
    name: 'python3',
    executable: '/usr/bin/python3.11',
    uid: 33,
    args: null,
    argsTruncated: false,
    netns: null,
    cgroupId: null,
    ancestors: null,
    method: 'ebpf',
    confidence: 'exact',
    ...change,
  });
  const ancestors = [
    { pid: 50, startTicks: 50, name: 'cron', executable: '/usr/sbin/cron' },
    { pid: 1, startTicks: 1, name: 'systemd', executable: '/sbin/init' },
  ];
  const whole = {
    pid: 100,
    start_time: '2023-11-14T22:13:32.34Z',
    name: 'python3',
    'executable.path': '/usr/bin/python3.11',
    command_args: ['python3', 'poll.py', '--password=****'],
    working_directory: '/srv/app',
    'owner.uid': 33,
    'owner.name': 'web',
    script: '/srv/app/poll.py',
    ancestors: [
      {
        pid: 50,
        name: 'cron',
        'executable.path': '/usr/sbin/cron',
        command_args: ['cron', '--token', '****'],
      },
      { pid: 1, name: 'systemd', 'executable.path': '/sbin/init', command_args: ['/sbin/init'] },
    ],
  };

  it('all of it from /proc, as the contract has it', () => {
    assert.deepEqual(processFacts.parse(identity.describe(owner())), whole);
  });

  it('the same with what the kernel recorded', () => {
    const args = ['python3', 'poll.py', '--password=hunter22'];
    assert.deepEqual(identity.describe(owner({ args, ancestors })), whole);
  });

  it('what is gone is null, what was recorded stays', () => {
    proc.end(100);
    proc.end(50);
    const facts = processFacts.parse(identity.describe(owner({ args: ['python3', '/a.py'], ancestors })));
    assert.equal(facts.working_directory, null);
    assert.equal(facts.script, '/a.py');
    assert.deepEqual(
      facts.ancestors.map((each) => each.command_args),
      [null, ['/sbin/init']],
    );
    assert.equal(identity.counters()['ancestor_args_gone'], 1);
  });

  it('nothing is taken from another process with the same pid', () => {
    proc.put({ pid: 100, name: 'evil', startTicks: 9999, args: ['evil'], workingDirectory: '/evil' });
    proc.put({ pid: 50, name: 'evil', startTicks: 9998, args: ['evil'] });
    const facts = identity.describe(owner({ ancestors }));
    assert.deepEqual([facts.command_args, facts.working_directory], [null, null]);
    assert.equal(facts.ancestors[0]!.command_args, null);
    assert.equal(JSON.stringify(facts).includes('evil'), false);
  });

  it('a known process is described once, an exec() in it anew', () => {
    const args = ['python3', 'poll.py'];
    const first = identity.describe(owner({ args, ancestors }));
    assert.equal(identity.describe(owner({ args: [...args], ancestors: [...ancestors] })), first);
    const other = identity.describe(owner({ args: ['python3', 'b.py'], ancestors }));
    assert.equal(other.script, '/srv/app/b.py');
    const program = identity.describe(owner({ args, ancestors, executable: '/bin/cat' }));
    assert.equal(program.script, null);
    const parent = identity.describe(
      owner({ args, ancestors: [{ ...ancestors[0]!, name: 'bash' }, ancestors[1]!] }),
    );
    assert.equal(parent.ancestors[0]!.name, 'bash');
    now = 60_000;
    assert.notEqual(identity.describe(owner({ args, ancestors })), first);
    assert.equal(identity.counters()['remembered'], 1);
  });

  it('an unknown user has no name', () => {
    assert.equal(identity.describe(owner({ uid: 4321 }))['owner.name'], null);
  });
});
