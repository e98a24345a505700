import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { cgroupPaths } from '../../../../agent/linux/cgroup.ts';
import {
  type HarnessReport,
  NamespaceLab,
  whyNotHere,
} from '../../../support/agent/attribution/namespace_lab.ts';

const CURLS = 200;
/**
 * The share of one-shot curls that must be attributed. 470 to 493 of 500 were attributed on a two-core
 * machine with another program on one core. The bench measures the figure; this test only recognises a broken
 * look-up on a busy machine.
 */
const LEAST_SHARE = 0.8;

/** A Python program that prints its pid and the port from which it called. */
const python = (body: string, family = 'AF_INET', to = "('169.254.169.254', 80)") => [
  'python3',
  '-c',
  `import os, socket, threading, time
s = socket.socket(socket.${family})
def call():
    s.connect(${to})
    s.send(b'GET /latest/meta-data/ HTTP/1.0\\r\\n\\r\\n')
    time.sleep(0.2)
    print(os.getpid(), s.getsockname()[1], flush=True)
${body}`,
];

/** The bash programs wait with `read`: a `sleep` would be a child that shares their socket. */
interface Client {
  command: string[];
  /** The expected facts besides the pid. */
  name: string;
  uid?: number;
  confidence?: 'exact' | 'probable';
}

const clients: Record<string, Client> = {
  'Python, IPv4': { command: python('call()'), name: 'python3' },
  'an IPv4-mapped socket in tcp6': {
    command: python('call()', 'AF_INET6', "('::ffff:169.254.169.254', 80)"),
    name: 'python3',
  },
  'native IPv6': { command: python('call()', 'AF_INET6', "('fd00:ec2::254', 80)"), name: 'python3' },
  'a socket bound to an interface': {
    command: python(`s.setsockopt(socket.SOL_SOCKET, 25, b'veth0')\ncall()`),
    name: 'python3',
  },
  'a thread': {
    command: python('t = threading.Thread(target=call)\nt.start()\nt.join()'),
    name: 'python3',
  },
  'another user': {
    command: [
      'setpriv',
      '--reuid=12345',
      '--regid=12345',
      '--clear-groups',
      'bash',
      '-c',
      'exec 3<>/dev/tcp/169.254.169.254/80; read -t 0.3 -u 3; echo $$ 0',
    ],
    name: 'bash',
    uid: 12345,
  },
  'a socket shared with the parent: the eldest holder, as probable': {
    command: python('if os.fork() == 0:\n    os.getpid = os.getppid\n    call()\nelse: os.wait()'),
    name: 'python3',
    confidence: 'probable',
  },
  'bash itself, by /dev/tcp': {
    command: [
      'bash',
      '-c',
      `exec 3<>/dev/tcp/169.254.169.254/80; printf 'GET /slow HTTP/1.0\\r\\n\\r\\n' >&3; read -u 3; echo $$ 0`,
    ],
    name: 'bash',
  },
  'a curl that its shell waits for': {
    command: ['sh', '-c', "curl -s -o /dev/null -w '0 %{local_port}\\n' http://169.254.169.254/slow; true"],
    name: 'curl',
  },
};

describe('sock_diag in a network namespace', { skip: whyNotHere }, () => {
  let lab: NamespaceLab;
  before(async () => {
    lab = new NamespaceLab();
    await lab.serve();
  });
  after(() => lab.remove());

  for (const [what, client] of Object.entries(clients)) {
    it(`names the caller: ${what}`, async () => {
      let printed = '';
      const report = await lab.watch(async () => {
        printed = await lab.run(client.command);
      });
      const [pid, port] = printed.trim().split(' ').map(Number) as [number, number];
      assert.equal(report.seen.length, 1, JSON.stringify(report.counters));
      const { owner, facts, ...seen } = report.seen[0]!;
      assert.ok(owner && facts, JSON.stringify(report.counters));
      if (port > 0) assert.equal(seen.port, port);
      if (pid > 0) assert.equal(seen.pid, pid);
      assert.equal(owner.name, client.name);
      assert.equal(owner.uid, client.uid ?? 0);
      assert.equal(owner.confidence, client.confidence ?? 'exact');
      assert.ok(owner.executable?.startsWith('/'));
      assert.equal(owner.workingDirectory, process.cwd());
      // A client starts in the directory of the test.
      const own = cgroupPaths(readFileSync('/proc/self/cgroup', 'utf8')).filter((path) => path !== '/');
      assert.deepEqual(owner.cgroupPaths, own.length > 0 ? own : null);
      assert.ok(owner.netns! > 0);
      assert.ok(owner.ancestors.includes(process.pid), 'the test is an ancestor of the client');
      assert.equal(owner.ancestors.at(-1), 1);
      assert.deepEqual(facts.command_args?.length, owner.args?.length);
    });
  }

  it('finds most one-shot curls, and none wrongly', async (t) => {
    const { report, truth } = await curls(lab, CURLS);
    assert.equal(truth.size, CURLS);
    assert.equal(report.seen.length, CURLS);
    const named = report.seen.filter((each) => each.pid !== null);
    for (const each of named) assert.equal(each.pid, truth.get(each.port));
    t.diagnostic(`${named.length} of ${CURLS} named`);
    assert.ok(named.length >= CURLS * LEAST_SHARE, JSON.stringify(report.counters));
    const { counters } = report;
    const lost = ['socket_gone', 'socket_orphaned', 'owner_gone', 'time_bound_hit'].map(
      (name) => counters[name]!,
    );
    assert.ok(counters['found']! + lost.reduce((a, b) => a + b) >= CURLS, 'each look-up is accounted for');
  });

  it('finds a caller that calls again at its last descriptor', async () => {
    const body =
      'for i in range(10):\n    s = socket.create_connection(("169.254.169.254", 80))\n    s.recv(1) if s.send(b"GET / HTTP/1.0\\r\\n\\r\\n") else 0\n    time.sleep(0.25)\n    s.close()';
    const report = await lab.watch(async () => {
      await lab.run(python(body));
    });
    assert.equal(report.counters['found'], 10);
    assert.ok(report.counters['found_by_recent']! >= 8, String(report.counters['found_by_recent']));
  });
});

async function curls(
  lab: NamespaceLab,
  count: number,
): Promise<{ report: HarnessReport; truth: Map<number, number> }> {
  const url = 'http://169.254.169.254/latest/meta-data/';
  const loop = `i=0; while [ $i -lt ${count} ]; do curl -s -o /dev/null -w '%{local_port} ' ${url} & p=$!; wait $p; echo $p; i=$((i+1)); done`;
  let printed = '';
  const report = await lab.watch(async () => {
    printed = await lab.run(['sh', '-c', loop]);
  });
  const lines = printed.trim().split('\n');
  return { report, truth: new Map(lines.map((line) => line.split(' ').map(Number) as [number, number])) };
}
