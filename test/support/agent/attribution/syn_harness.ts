/**
 * Runs inside a lab's host namespace (`nsenter --net=… node syn_harness.ts`): captures the SYNs to the
 * metadata service and looks up each owner with sock_diag at once, like the agent. Prints `ready`, and at the
 * end of its standard input one JSON object.
 */
import { createRequire } from 'node:module';
import { SockDiagAttributor } from '../../../../agent/attribution/sock_diag.ts';
import { readPackets } from '../../../../agent/capture/packet_batch.ts';
import { ProcessIdentity } from '../../../../agent/identity/process_identity.ts';
import type { ProcessFacts } from '../../../../protocol/call.ts';

const { Cap } = createRequire(import.meta.url)('cap');
const SLL_BYTES = 16;
const ETHERTYPE_IPV6 = 0x86dd;
const SYN = 0x02;
const ACK = 0x10;

export interface Seen {
  port: number;
  source: string;
  pid: number | null;
  /** The facts of the owner that the tests compare. */
  owner: {
    uid: number;
    name: string;
    executable: string | null;
    args: string[] | null;
    workingDirectory: string | null | undefined;
    confidence: string;
    ancestors: number[];
    netns: number | null;
    cgroupPaths: string[] | null | undefined;
  } | null;
  facts: ProcessFacts | null;
  /** Microseconds that `ownerOf` took. */
  tookUs: number;
}

const attributor = SockDiagAttributor.open({ log: { warn: (message) => console.error(message) } });
const identity = new ProcessIdentity();
const seen = new Map<string, Seen>();
const batch = Buffer.alloc(65536);
const capture = new Cap();
capture.open(
  'any',
  'tcp and (host 169.254.169.254 or host fd00:ec2::254) and port 80',
  8 * 1024 * 1024,
  batch,
);
capture.setMinBytes?.(0);
capture.on('packet', (length: number) => {
  for (const { data } of readPackets(batch, length, 'LINUX_SLL')) lookUp(Buffer.from(data));
});

function lookUp(buffer: Buffer): void {
  const isIpv6 = buffer.readUInt16BE(14) === ETHERTYPE_IPV6;
  const tcp = SLL_BYTES + (isIpv6 ? 40 : (buffer[SLL_BYTES]! & 0x0f) * 4);
  if ((buffer[tcp + 13]! & (SYN | ACK)) !== SYN) return;
  const address = (at: number) =>
    isIpv6
      ? Array.from({ length: 8 }, (_, i) => buffer.readUInt16BE(at + 2 * i).toString(16)).join(':')
      : buffer.subarray(at, at + 4).join('.');
  const source = address(SLL_BYTES + (isIpv6 ? 8 : 12));
  const port = buffer.readUInt16BE(tcp);
  const tuple = {
    localAddress: source,
    localPort: port,
    remoteAddress: address(SLL_BYTES + (isIpv6 ? 24 : 16)),
    remotePort: buffer.readUInt16BE(tcp + 2),
  };
  const before = performance.now();
  const owner = attributor.ownerOf(tuple, true);
  const tookUs = (performance.now() - before) * 1000;
  seen.set(`${source} ${port}`, {
    port,
    source,
    pid: owner?.pid ?? null,
    owner: owner && {
      uid: owner.uid,
      name: owner.name,
      executable: owner.executable,
      args: owner.args,
      workingDirectory: owner.workingDirectory,
      confidence: owner.confidence,
      ancestors: (owner.ancestors ?? []).map((each) => each.pid),
      netns: owner.netns,
      cgroupPaths: owner.cgroupPaths,
    },
    facts: owner && identity.describe(owner),
    tookUs,
  });
  attributor.connectionClosed(tuple);
}
process.stdout.write('ready\n');
process.stdin.on('end', () => {
  capture.close();
  process.stdout.write(`${JSON.stringify({ seen: [...seen.values()], counters: attributor.counters() })}\n`);
  attributor.close();
});
process.stdin.resume();
