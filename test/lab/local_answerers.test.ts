/**
 * Tests who answered, on real packets and in both directions: mocks and proxies on the host answer no call of the service, and
 * nobody who calls the service passes for one that a mock answered.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingHere } from '../../lab/engines/need.ts';
import { Lab } from '../../lab/lab.ts';
import { ip, namespacePath } from '../../lab/namespaces.ts';
import { findPrograms } from '../../lab/programs.ts';
import type { Call } from '../../protocol/call.ts';
import { IMDS_IPV4 } from '../../protocol/endpoints.ts';
import { addMasqueradedBridge, SERVICE } from '../support/lab/masqueraded_bridge.ts';
import { Watcher } from '../support/lab/watcher.ts';

const skip =
  process.getuid?.() === 0
    ? (missingHere(['nft']) ?? false)
    : 'needs root: builds network namespaces and captures packets';
const IMDSWATCH = join(import.meta.dirname, '../../bin/imdswatch');
/** Answers every request like the service, with its name in the header: a mock can do that. */
const MOCK = `
import http.server, sys
class Mock(http.server.BaseHTTPRequestHandler):
    server_version, sys_version = 'EC2ws', ''
    def do_GET(self):
        self.send_response(200); self.send_header('Content-Length', '1'); self.end_headers(); self.wfile.write(b'x')
server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Mock)
print('ready', flush=True)
server.serve_forever()`;

describe('who answered a call', { skip }, () => {
  let lab: Lab;
  let watcher: Watcher;

  before(async () => {
    lab = await Lab.create({ name: 'answerer', ipv6: false });
    const { python3 } = await findPrograms();
    const [first = '', second = ''] = await addMasqueradedBridge(lab);
    const mock = async (namespace: string, address: string, port: string) => {
      const running = lab.spawn([python3, '-c', MOCK, address, port], { from: { namespace } });
      await new Promise((resolve) => running.child.stdout?.once('data', resolve));
    };
    // A mock that takes the service's address, as "aws-vault exec --ec2-server" does (99designs/aws-vault, USAGE.md).
    const emulated = await lab.addNamespace('inner');
    await ip('-n', emulated, 'link', 'set', 'lo', 'up');
    await ip('-n', emulated, 'addr', 'add', `${IMDS_IPV4}/32`, 'dev', 'lo');
    await mock(emulated, IMDS_IPV4, '80');
    // A proxy of the node that answers from its memory (jtblin/kube2iam, README, "iptables").
    await lab.addPod();
    await mock(lab.hostNamespace, '0.0.0.0', '8181');
    nft(
      lab.hostNamespace,
      `chain pre { type nat hook prerouting priority -110; iifname "pod0" ip daddr ${IMDS_IPV4} tcp dport 80 redirect to :8181; }`,
    );
    // The agent of ECS answers tasks in the host's network by a redirect of what they send (Amazon ECS developer guide, "IAM
    // roles for tasks" on external instances, which lists both rules).
    await mock(lab.hostNamespace, '127.0.0.1', '51679');
    nft(
      lab.hostNamespace,
      'chain ecs { type nat hook output priority -110; ip daddr 169.254.170.2 tcp dport 80 redirect to :51679; }',
    );
    await ip('-n', lab.hostNamespace, 'route', 'replace', 'default', 'dev', 'eth0');
    // A namespace that rewrites the service's address to another one, which the host rewrites back.
    nft(
      first,
      `chain out { type nat hook output priority -100; ip daddr ${IMDS_IPV4} tcp dport 80 dnat to ${SERVICE.address}:${SERVICE.port}; }`,
    );
    const flags = ['--json', '--attribution', 'ebpf', '--max-namespaces', '32'];
    watcher = await Watcher.start(lab, [
      IMDSWATCH,
      'watch',
      ...flags,
      '--docker-socket',
      'none',
      '--cri-socket',
      'none',
    ]);
    const places = {
      emulated: { namespace: emulated },
      proxied: 'pod',
      twice: { namespace: first },
      plain: { namespace: second },
    } as const;
    for (const [row, from] of Object.entries(places)) {
      const { status } = await lab.run(
        ['curl', '-s', '-m', '10', `http://${IMDS_IPV4}/latest/meta-data/${row}`],
        { from },
      );
      assert.equal(status, 0, row);
    }
    const task = await lab.run(['curl', '-s', '-m', '10', 'http://169.254.170.2/v2/credentials/task']);
    assert.equal(task.status, 0, task.stderr);
    await watcher.settle(3);
    // The kernel's report of a connection that no capture sees is read within a second.
    await sleep(2_500);
    await watcher.stop();
  });
  after(() => lab?.close());

  const callsTo = (row: string): Call[] => watcher.calls.filter((call) => call['url.path']?.endsWith(row));
  for (const [row, by, evidence] of [
    ['proxied', 'host', 'translation'],
    ['twice', 'service', 'departure'],
    ['plain', 'service', 'departure'],
  ] as const) {
    it(`${row}: the ${by}, once, as the service's log says`, async () => {
      const calls = callsTo(row);
      assert.deepEqual(
        calls.map((call) => [call.answered_by, call['answered_by.evidence'], call['imds.version']]),
        [[by, evidence, 1]],
        watcher.complaints,
      );
      assert.equal(calls[0]!.process?.name, 'curl');
      const served = (await lab.metadata.log()).filter(({ target }) => target?.endsWith(row));
      assert.equal(served.length, by === 'service' ? 1 : 0);
    });
  }

  it('a mock on the loopback of a container: no call of the service, and no loss', async () => {
    assert.deepEqual(callsTo('emulated'), []);
    const log = await lab.metadata.log();
    assert.equal(
      log.some(({ target }) => target?.endsWith('emulated')),
      false,
    );
  });

  it('a call to the agent of ECS by a task in the network of the host: no call of the service', () => {
    assert.deepEqual(callsTo('task'), []);
  });

  it('loses nothing', () => assert.doesNotMatch(watcher.complaints, /were lost/, watcher.complaints));
});

function nft(namespace: string, chain: string): void {
  const rules = `table ip answerer {\n${chain.replace('{ ', '{\n').replaceAll('; ', '\n').replace(';', '\n')}\n}`;
  execFileSync('nsenter', [`--net=${namespacePath(namespace)}`, 'nft', rules]);
}
