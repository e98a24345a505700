/** Tests which requests on our own connections are left out, and which are calls. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Attributor } from '../../../agent/attribution/attributor.ts';
import type { SocketOwner } from '../../../agent/attribution/owner.ts';
import type { PacketHandler, PacketSource } from '../../../agent/capture/packet_source.ts';
import { OwnCalls } from '../../../agent/host/own_calls.ts';
import { ProcessIdentity } from '../../../agent/identity/process_identity.ts';
import { WorkloadIdentity } from '../../../agent/identity/workload.ts';
import { Pipeline } from '../../../agent/pipeline.ts';
import type { Call } from '../../../protocol/call.ts';
import { answer, request, Script, TTL_ANSWER } from '../../support/agent/conversation/script.ts';
import { ipv4, tcp } from '../../support/agent/decode/frames.ts';

const TOKEN = { 'X-Aws-Ec2-Metadata-Token': 't' };

class Knows extends OwnCalls {
  override matchConnection(): boolean {
    return true;
  }
}

function source(script: Script): PacketSource {
  const bytes = (text: string) => text.split('.').map(Number);
  return {
    name: 'replay',
    live: false,
    start(handler: PacketHandler) {
      for (const segment of script.segments) {
        const addresses = {
          source: bytes(segment.sourceAddress),
          destination: bytes(segment.destinationAddress),
        };
        const data = ipv4(tcp(segment), addresses);
        handler([{ data, linkType: 'RAW', timeUs: segment.timeUs, wireLength: data.length }]);
      }
    },
    stop() {},
    counters: () => ({}),
  };
}

/**
 * `isSelf` is the kernel's report about the opener; null without eBPF, where our own sockets are compared.
 */
async function run(script: Script, isSelf: boolean | null, own: OwnCalls | null = new Knows()) {
  const owner = isSelf === null ? null : ({ ...OWNER, isSelf } satisfies SocketOwner);
  const attributor: Attributor = {
    onConnection: null,
    onClosed: null,
    method: isSelf === null ? 'sock_diag' : 'ebpf',
    poll() {},
    ownerOf: (_tuple, atSyn) => (atSyn ? null : owner),
    ...(isSelf === null && { inodeOf: () => 1 }),
    connectionClosed() {},
    counters: () => ({}),
    close() {},
  };
  const calls: Call[] = [];
  const workloads = new WorkloadIdentity({ engines: [] });
  const pipeline = new Pipeline({
    source: source(script),
    attribution: { attributor, identity: new ProcessIdentity(), workloads },
    host: { id: 'h', name: 'h' },
    onCall: (call) => calls.push(call),
    ...(own && { ownCalls: own }),
  });
  pipeline.start();
  pipeline.stop();
  workloads.close();
  await new Promise((resolve) => setImmediate(resolve));
  return {
    calls: calls.map((call) => [call['url.path'], call['imds.version']]),
    counts: pipeline.counters()['calls'],
  };
}

const OWNER: SocketOwner = {
  pid: process.pid,
  startTicks: 1,
  name: 'node',
  executable: '/usr/bin/node',
  uid: 0,
  args: [],
  argsTruncated: false,
  netns: null,
  cgroupId: null,
  cgroupPaths: ['/x'],
  ancestors: [],
  method: 'ebpf',
  confidence: 'exact',
};

function asked(...requests: string[]): Script {
  const script = new Script();
  for (const text of requests) {
    script.say({ from: 'client', text }).say({ from: 'server', text: answer(200, 'x', TTL_ANSWER) });
  }
  return script.fin('server').fin('client');
}

for (const isSelf of [true, null]) {
  describe(isSelf === null ? 'our own connection, without eBPF' : 'our own connection, with eBPF', () => {
    it('is no call for the request that we send', async () => {
      const { calls, counts } = await run(asked(request('GET /latest/meta-data/tags', TOKEN)), isSelf);
      assert.deepEqual(calls, []);
      assert.equal(counts?.['own'], 1);
    });

    it('is a call for a request without a token, which we never send', async () => {
      const { calls, counts } = await run(asked(request('GET /latest/user-data')), isSelf);
      assert.deepEqual(
        calls.map(([path]) => path),
        ['/latest/user-data'],
      );
      assert.equal(counts?.['own'], 0);
    });

    it('is a call from the second request on, which we never send', async () => {
      const { calls, counts } = await run(
        asked(request('GET /latest/a', TOKEN), request('GET /latest/b', TOKEN), request('GET /latest/c')),
        isSelf,
      );
      assert.deepEqual(
        calls.map(([path]) => path),
        ['/latest/b', '/latest/c'],
      );
      assert.equal(counts?.['own'], 1);
    });

    it('is a call if this process sends no requests', async () => {
      const { calls } = await run(asked(request('GET /latest/a', TOKEN)), isSelf, null);
      assert.equal(calls.length, 1);
    });
  });
}

describe('a connection with our address and port, with eBPF', () => {
  it('is a call if the kernel reports that another process opened the connection', async () => {
    const { calls, counts } = await run(asked(request('GET /latest/a', TOKEN)), false);
    assert.deepEqual(calls, [['/latest/a', 2]]);
    assert.equal(counts?.['own'], 0);
  });
});
