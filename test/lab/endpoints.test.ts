/** Credentials endpoints of ECS and EKS: seen when they are asked for, and not otherwise. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { Lab } from '../../lab/lab.ts';
import { addAddress, ip, namespacePath } from '../../lab/namespaces.ts';
import { ENDPOINTS, IMDS_IPV4 } from '../../protocol/endpoints.ts';
import { MAIN, skip, startWatch } from '../support/lab/watch_lab.ts';

const OTHERS = ENDPOINTS.filter(({ service }) => service !== 'imds').map(({ address }) => address);
const TASK_ID = '5a7d4f4a-92b4-43ff-9c51-0c4b7c6d3a10';
const AUTHORIZATION = 'a-pod-token-that-must-not-be-kept';

const SERVER = `
const { createServer } = require('node:http');
const hosts = process.argv.slice(1);
let listening = 0;
for (const host of hosts) {
  createServer((_, response) => response.end('{"RoleArn":"x"}')).listen(80, host, () => {
    if (++listening === hosts.length) process.stdout.write('ready');
  });
}`;

describe('other credential endpoints', { skip }, () => {
  let lab: Lab;
  let server: ChildProcess;
  before(async () => {
    lab = await Lab.create({ name: 'endpoints' });
    const { hostNamespace: host, metadataNamespace: service } = lab;
    for (const address of OTHERS) {
      const isIpv6 = address.includes(':');
      await addAddress(service, 'eth0', `${address}/${isIpv6 ? 128 : 32}`);
      await ip('-n', host, isIpv6 ? '-6' : '-4', 'route', 'add', address, 'dev', 'eth0');
    }
    server = spawn(
      'nsenter',
      [`--net=${namespacePath(service)}`, process.execPath, '-e', SERVER, '--', ...OTHERS],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await once(server.stdout!, 'data');
  });
  after(async () => {
    if (server?.exitCode === null) {
      server.kill();
      await once(server, 'exit');
    }
    await lab?.close();
  });

  async function callAll(): Promise<void> {
    const curl = ['curl', '-s', '-o', '/dev/null', '-m', '5'];
    const authorized = [...curl, '-H', `Authorization: ${AUTHORIZATION}`];
    for (const command of [
      [...curl, `http://169.254.170.2/v2/credentials/${TASK_ID}`],
      [...curl, 'http://169.254.170.2/v4/0123456789/task'],
      [...authorized, 'http://169.254.170.23/v1/credentials'],
      [...authorized, 'http://[fd00:ec2::23]/v1/credentials'],
      [...curl, `http://${IMDS_IPV4}/latest/meta-data/instance-id`],
    ]) {
      assert.equal((await lab.run(command)).status, 0, command.at(-1));
    }
  }

  for (const attribution of ['ebpf', 'proc'] as const) {
    it(`are seen with their callers when asked for (${attribution})`, async () => {
      const watcher = await startWatch(lab, '--attribution', attribution, '--endpoints', 'imds,ecs,eks');
      await callAll();
      await watcher.settle(5);
      const end = await watcher.stop();
      assert.deepEqual(watcher.invalid, []);
      assert.deepEqual(
        watcher
          .inOrder()
          .map((call) => [
            call['imds.endpoint'],
            call['imds.version'],
            call['imds.server_version'],
            call['imds.kind'],
            call['imds.category'],
            call['imds.role'],
            call['url.path'],
            call.outcome,
            call['destination.address'],
          ]),
        [
          [
            'ecs',
            null,
            null,
            'read',
            'credentials',
            null,
            '/v2/credentials/****',
            'answered',
            '169.254.170.2',
          ],
          ['ecs', null, null, 'read', 'metadata', null, '/v4/0123456789/task', 'answered', '169.254.170.2'],
          ['eks', null, null, 'read', 'credentials', null, '/v1/credentials', 'answered', '169.254.170.23'],
          ['eks', null, null, 'read', 'credentials', null, '/v1/credentials', 'answered', 'fd00:ec2::23'],
          ['ipv4', 1, 1, 'read', 'metadata', null, '/latest/meta-data/instance-id', 'answered', IMDS_IPV4],
        ],
      );
      if (attribution === 'ebpf') {
        for (const call of watcher.calls) {
          assert.equal(call.process?.name, 'curl');
          assert.equal(call['attribution.confidence'], 'exact');
        }
      }
      const everything = JSON.stringify(watcher.calls);
      assert.equal(everything.includes(TASK_ID), false, 'the id of credentials is a secret');
      assert.equal(everything.includes(AUTHORIZATION), false);
      assert.equal(end.status, 0, watcher.complaints);
    });
  }

  it('are not seen otherwise', async () => {
    const watcher = await startWatch(lab);
    await callAll();
    await watcher.settle(2, 1_500);
    await watcher.stop();
    assert.deepEqual(
      watcher.calls.map((call) => [call['imds.endpoint'], call['imds.version'], call['url.path']]),
      [['ipv4', 1, '/latest/meta-data/instance-id']],
    );
  });

  it('are refused by name where there is none of it', async () => {
    const { status, stderr } = await lab.run([process.execPath, MAIN, 'watch', '--endpoints', 'imds,gke']);
    assert.equal(status, 2);
    assert.match(stderr, /--endpoints/);
  });
});
