/** Namespaces with a way of their own to the metadata service: who calls, by the service's log and the callers. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Lab } from '../../lab/lab.ts';
import { namespacePath } from '../../lab/namespaces.ts';
import { findPrograms } from '../../lab/programs.ts';
import { addMacvlan, addMovedInterface, redirectPodToProxy } from '../support/lab/network_topologies.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces';
const URL_BASE = 'http://169.254.169.254';
const PORT_OF_CALLER = ['-s', '-o', '/dev/null', '-w', '%{local_ip} %{local_port} %{http_code}'];

describe('own ways to the metadata service', () => {
  for (const [what, add] of [
    ['an interface that was moved', addMovedInterface],
    ['a macvlan', addMacvlan],
  ] as const) {
    it(`${what}: the caller's own address reaches the service`, { skip }, async () => {
      const lab = await Lab.create({ name: 'ownways', ipv6: false });
      const { namespace, address } = await add(lab);
      try {
        const target = '/latest/meta-data/instance-id';
        const { stdout, status } = await lab.run(['curl', ...PORT_OF_CALLER, URL_BASE + target], {
          from: { namespace },
        });
        assert.equal(status, 0);
        const [seen, ...more] = await lab.metadata.log();
        assert.deepEqual(more, []);
        assert.equal(stdout, `${address} ${seen!.clientPort} 200`);
        assert.deepEqual([seen!.clientAddress, seen!.target], [address, target]);
      } finally {
        await lab.close();
      }
      assert.equal(existsSync(namespacePath(namespace)), false);
    });
  }

  it('a proxy on the host: the pod asks, the proxy calls', { skip }, async (t) => {
    const lab = await Lab.create({ name: 'ownways', ipv6: false });
    try {
      const programs = await findPrograms();
      const proxy = await redirectPodToProxy(lab, programs);
      const target = '/latest/meta-data/placement/region';
      const { stdout } = await lab.run([programs.curl, ...PORT_OF_CALLER, URL_BASE + target], {
        from: 'pod',
      });
      const [address, port, status] = stdout.split(' ');
      assert.equal(status, '200');
      const [seen, ...more] = await lab.metadata.log();
      assert.deepEqual(more, []);
      assert.deepEqual(proxy.reported, [
        { port: seen!.clientPort, method: 'GET', target, caller: { address, port: Number(port) } },
      ]);
      assert.equal(seen!.clientAddress, lab.hostAddresses.ipv4);
      assert.notEqual(address, lab.hostAddresses.ipv4);
      t.diagnostic(`${address}:${port} asked, ${seen!.clientAddress}:${seen!.clientPort} called`);
    } finally {
      await lab.close();
    }
  });
});
