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
        script: null,
      },
      {
        pid: 1,
        name: 'systemd',
        'executable.path': '/sbin/init',
        command_args: ['/sbin/init'],
        script: null,
      },
    ],
  };

  it('all of it from /proc, as the contract has it', () => {
    assert.deepEqual(processFacts.parse(identity.describe(owner())), whole);
  });

  it('the same with what the kernel recorded', () => {
    const args = ['python3', 'poll.py', '--password=hunter22'];
    assert.deepEqual(identity.describe(owner({ args, ancestors })), whole);
  });

  it('facts of an ended process are null; recorded ones stay', () => {
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

  describe('arguments beyond the record', () => {
    const classPath = Array.from({ length: 1_500 }, (_, n) => `/opt/kafka/libs/library-${n}-2.13.0.jar`).join(
      ':',
    );
    const java = '/usr/lib/jvm/java-17/bin/java';
    const args = ['java', '-cp', classPath, 'com.example.connect.Fetch', 'x'];
    const recorded = owner({
      executable: java,
      args: ['java', '-cp', classPath.slice(0, 4_000)],
      argsTruncated: true,
      ancestors,
    });
    const running = { pid: 100, name: 'java', startTicks: 1234, executable: java };

    it('are taken from behind the cut argument of the record when the caller has ended', () => {
      const behind = (after: string[], changes: Partial<SocketOwner> = {}) =>
        identity.describe({ ...recorded, pid: 7, argsAfterCut: after, ...changes }).script;
      assert.equal(behind(['com.example.connect.Fetch', 'x']), 'com.example.connect.Fetch');
      assert.equal(behind(['-Xmx1g', '-jar', '/opt/a.jar']), '/opt/a.jar');
      assert.equal(behind(['-Xmx1g']), null);
      assert.equal(identity.describe({ ...recorded, pid: 7 }).script, null);
      // A name that is known in part is no name.
      assert.equal(behind(['x'], { args: ['java', `com.example.${'a'.repeat(100)}`] }), null);
      assert.equal(behind(['Main'], { args: ['java', `-Dlist=${'a'.repeat(100)}`] }), 'Main');
      // Only what was recorded first is shown: the cut argument may have been the name of a secret.
      const shown = identity.describe({ ...recorded, pid: 7, argsAfterCut: ['Main', 'hunter2'] });
      assert.doesNotMatch(JSON.stringify(shown.command_args), /hunter2/);
    });

    it('are read from /proc while the caller lives, however long they are', () => {
      assert.ok(classPath.length > 50_000);
      proc.put({ ...running, args });
      const facts = identity.describe(recorded);
      assert.equal(facts.script, 'com.example.connect.Fetch');
      assert.equal(identity.counters()['args_completed'], 1);
      assert.ok(facts.command_args!.join(' ').length < 9_000);
    });

    it('are not known of a caller that has ended, nor of another program or process', () => {
      assert.equal(identity.describe(recorded).script, null);
      proc.put({ ...running, executable: '/bin/other', args });
      assert.equal(identity.describe({ ...recorded, uid: 34 }).script, null);
      proc.put({ ...running, startTicks: 1235, args });
      assert.equal(identity.describe({ ...recorded, uid: 35 }).script, null);
      assert.equal(identity.counters()['args_completed'], 0);
    });

    it('never make the first part of a name a main class', () => {
      const cut = { ...recorded, args: ['java', '-cp', 'a.jar', 'com.example.con'] };
      assert.equal(identity.describe(cut).script, null);
    });
  });

  describe('the script of a parent', () => {
    const shell = { pid: 60, startTicks: 60, name: 'bash', executable: '/usr/bin/bash' };
    const scriptOfParent = () =>
      identity.describe(owner({ args: ['curl', 'x'], executable: '/usr/bin/curl', ancestors: [shell] }))
        .ancestors[0]!.script;

    it('is absolute, null for code, and absent when the parent has ended', () => {
      proc.put({ ...shell, args: ['/bin/bash', '/opt/backup/nightly.sh'] });
      assert.equal(scriptOfParent(), '/opt/backup/nightly.sh');
      now += 60_000;
      proc.put({ ...shell, args: ['bash', '-c', '/opt/a.sh; curl x'] });
      assert.equal(scriptOfParent(), null);
      now += 60_000;
      proc.end(60);
      assert.equal(scriptOfParent(), undefined);
    });

    it('is the file that the shell has open, wherever the shell has gone since', () => {
      proc.put({
        ...shell,
        args: ['bash', './a.sh'],
        workingDirectory: '/tmp',
        descriptors: { 255: '/opt/x/a.sh' },
      });
      assert.equal(scriptOfParent(), '/opt/x/a.sh');
    });

    it('of a program with a long command line is read whole', () => {
      const java = { pid: 60, startTicks: 60, name: 'java', executable: '/usr/bin/java' };
      proc.put({ ...java, args: ['java', '-cp', 'x'.repeat(70_000), 'com.example.Main'] });
      const facts = identity.describe(owner({ args: ['curl', 'x'], ancestors: [java] }));
      assert.equal(facts.ancestors[0]!.script, 'com.example.Main');
    });
  });

  describe('a title', () => {
    const puma = (args: string[]) =>
      owner({
        name: 'ruby',
        executable: '/usr/bin/ruby3.1',
        args,
        ancestors: [],
        workingDirectory: '/srv/app',
      });

    it('is shown, and its process stays the workload that it was', () => {
      assert.equal(identity.describe(puma(['ruby', 'bin/puma', '-C', 'x.rb'])).script, '/srv/app/bin/puma');
      const facts = processFacts.parse(identity.describe(puma(['puma 5.6.4 (tcp://0.0.0.0:3000) [shop]'])));
      assert.deepEqual(
        [facts.script, facts.title],
        ['/srv/app/bin/puma', 'puma 5.6.4 (tcp://0.0.0.0:3000) [shop]'],
      );
    });

    it('gives its first word where the script was never seen; numbers in it make no difference', () => {
      const scripts = [3, 4, 10].map(
        (busy) => identity.describe(puma([`sidekiq 6.5.1 shop [${busy} of 10 busy]`])).script,
      );
      assert.deepEqual(scripts, ['sidekiq', 'sidekiq', 'sidekiq']);
    });

    it('has its secrets masked', () => {
      const facts = identity.describe(puma(['worker: --password=hunter22']));
      assert.equal(JSON.stringify(facts).includes('hunter22'), false);
    });
  });
});
