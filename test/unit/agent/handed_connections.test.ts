/** Tests that each request of a connection is the call of the process that sent it, whenever its answer comes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Attributor } from '../../../agent/attribution/attributor.ts';
import { connectionUse } from '../../../agent/attribution/connection_use.ts';
import type { SocketOwner } from '../../../agent/attribution/owner.ts';
import type { ByteRange } from '../../../agent/flow.ts';
import { ProcessIdentity } from '../../../agent/identity/process_identity.ts';
import { WorkloadIdentity } from '../../../agent/identity/workload.ts';
import { Pipeline } from '../../../agent/pipeline.ts';
import type { Call } from '../../../protocol/call.ts';
import { answer, request, Script } from '../../support/agent/conversation/script.ts';
import { ipv4, tcp } from '../../support/agent/decode/frames.ts';

/** A pid that no process can have (PID_MAX_LIMIT): nothing is read in /proc. */
function owner(pid: number): SocketOwner {
  return {
    ...{ pid: 5_000_000 + pid, startTicks: pid, name: `p${pid}`, executable: `/bin/p${pid}`, uid: pid },
    ...{ args: [`p${pid}`], argsTruncated: false, workingDirectory: '/', netns: null, cgroupId: null },
    ...{ cgroupPaths: ['/x'], ancestors: [], method: 'ebpf', confidence: 'exact' },
  };
}
const [OPENER, CHILD, OTHER] = [owner(1), owner(2), owner(3)];

async function callsOf(script: Script, useOf: Attributor['useOf']): Promise<Call[]> {
  const attributor: Attributor = {
    ...{ onConnection: null, onClosed: null, method: 'ebpf' },
    poll() {},
    ownerOf: (_tuple, atSyn) => (atSyn ? null : OPENER),
    ...(useOf && { useOf }),
    connectionClosed() {},
    counters: () => ({}),
    close() {},
  };
  const calls: Call[] = [];
  const workloads = new WorkloadIdentity({ engines: [] });
  const bytes = (text: string) => text.split('.').map(Number);
  const pipeline = new Pipeline({
    source: {
      ...{ name: 'replay', live: false, counters: () => ({}), stop() {} },
      start(handler) {
        for (const segment of script.segments) {
          const { sourceAddress, destinationAddress, timeUs } = segment;
          const data = ipv4(tcp(segment), {
            source: bytes(sourceAddress),
            destination: bytes(destinationAddress),
          });
          handler([{ data, linkType: 'RAW', timeUs, wireLength: data.length }]);
        }
      },
    },
    attribution: { attributor, identity: new ProcessIdentity(), workloads },
    host: { id: 'h', name: 'h' },
    onCall: (call) => calls.push(call),
  });
  pipeline.start();
  pipeline.stop();
  workloads.close();
  await new Promise((resolve) => setImmediate(resolve));
  return calls;
}

const rowOf = (call: Call) => [
  call['url.path'],
  call.process?.name,
  call['caller.connection'],
  call.opener?.name ?? null,
  call['attribution.confidence'],
];

describe('connections that are handed to another process', () => {
  const texts = ['/a', '/b', '/c', '/d'].map((path) => request(`GET ${path}`));
  const script = () => {
    const played = new Script();
    // All requests are sent before the first answer comes.
    for (const text of texts) played.say({ from: 'client', text });
    for (const _ of texts) played.say({ from: 'server', text: answer(404, 'x') });
    return played;
  };

  it('give each request the process that sent it, also if the next one is known before the answer', async () => {
    const asked: ByteRange[] = [];
    const calls = await callsOf(script(), (_tuple, initialSequence, bytes) => {
      asked.push(bytes);
      const at = (text: number) =>
        (initialSequence + 1 + texts.slice(0, text).reduce((sum, { length }) => sum + length, 0)) >>> 0;
      // The first byte of the last request is the opener's.
      const senders = [
        { owner: CHILD, sequence: at(1) },
        { owner: OPENER, sequence: at(3) },
        { owner: OTHER, sequence: at(3) + 1 },
      ];
      return connectionUse(OPENER, senders, bytes);
    });
    assert.deepEqual(calls.map(rowOf), [
      ['/a', 'p1', 'own', null, 'exact'],
      ['/b', 'p2', 'handed', 'p1', 'exact'],
      ['/c', 'p2', 'handed', 'p1', 'exact'],
      ['/d', 'p3', 'shared', 'p1', 'probable'],
    ]);
    const lengths = new Set(asked.map(({ first, last }) => (last - first + 1) >>> 0));
    assert.deepEqual(lengths, new Set(texts.map(({ length }) => length)), 'a head is asked for whole');
  });

  it('are not told where the kernel does not report who sends', async () => {
    const calls = await callsOf(script(), undefined);
    assert.deepEqual(
      calls.map(rowOf),
      texts.map((_, at) => [`/${'abcd'[at]}`, 'p1', null, null, 'exact']),
    );
  });
});
