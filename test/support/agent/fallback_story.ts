/**
 * Plays requests of known processes through the agent's pipeline, and returns what their reads without a token were
 * taken for. Times are milliseconds since the start of the story.
 */
import type { Attributor } from '../../../agent/attribution/attributor.ts';
import type { SocketOwner } from '../../../agent/attribution/owner.ts';
import { PacketClock } from '../../../agent/capture/packet_clock.ts';
import type { Packet, PacketHandler } from '../../../agent/capture/packet_source.ts';
import type { Segment } from '../../../agent/conversation/segment.ts';
import { ProcessIdentity } from '../../../agent/identity/process_identity.ts';
import { WorkloadIdentity } from '../../../agent/identity/workload.ts';
import type { ProcessSnapshot } from '../../../agent/linux/process_snapshot.ts';
import { Pipeline } from '../../../agent/pipeline.ts';
import type { Call } from '../../../protocol/call.ts';
import { answer, request, Script, START_US, TTL_ANSWER } from './conversation/script.ts';
import { ipv4, tcp } from './decode/frames.ts';

export interface Program {
  pid: number;
  executable: string;
  args: string[];
  /** The kernel's name of it, where it is not the executable's. */
  name?: string;
  /** Nearest first. */
  parents?: Program[];
}

export interface Request {
  /** Null for a caller that is not found. */
  by: Program | null;
  atMs: number;
  userAgent?: string | null;
  forwardedFor?: string;
  address?: string;
  /** A token request unless given; true for a read with a token. */
  read?: boolean | 'with-token';
  /** The status of the answer; null for none, `lost` for one that is captured and does not arrive. */
  answer?: number | null | 'lost';
  /** When the client closes an unanswered request, in milliseconds after it; null to keep it open. */
  closesAfterMs?: number | null;
  /** The client resets instead of closing. */
  resets?: boolean;
  /** When the answer comes. Defaults to 2 ms. */
  answersAfterMs?: number;
  /** Hop limits of the client's segments where they are captured. */
  hopLimits?: number[];
  /** Hop limit of the service's bytes. */
  answerHopLimit?: number;
}

const ANSWER_MS = 2;

/** Returns the calls of all reads, in the order in which the requests are given. */
export async function callsOfReads(requests: readonly Request[]): Promise<Call[]> {
  const segments: Segment[] = [];
  const owners = new Map<number, SocketOwner | null>();
  requests.forEach((each, index) => {
    const port = 20_000 + index;
    owners.set(port, each.by === null ? null : ownerOf(each.by));
    segments.push(...segmentsOf(each, port));
  });
  segments.sort((a, b) => a.timeUs - b.timeUs);
  const calls = await play(segments, owners);
  return requests.flatMap(({ read }, index) =>
    read === undefined || read === false
      ? []
      : calls.filter((call) => call['source.port'] === 20_000 + index),
  );
}

/** Returns what the reads without a token were taken for. */
export async function fallbacksOf(requests: readonly Request[]): Promise<Call['imds.fallback'][]> {
  return (await callsOfReads(requests)).map((call) => call['imds.fallback']);
}

function segmentsOf(each: Request, port: number): Segment[] {
  const {
    atMs,
    userAgent = 'Go-http-client/1.1',
    read = false,
    resets = false,
    answersAfterMs = ANSWER_MS,
  } = each;
  const status = each.answer === undefined ? 200 : each.answer;
  const script = new Script({
    clientPort: port,
    clientAddress: each.address ?? '172.17.0.2',
    startUs: START_US + atMs * 1_000 - 30,
    clientIsn: 1_000 + port,
    serverIsn: 900_000 + port,
  });
  const headers = {
    ...(userAgent !== null && { 'User-Agent': userAgent }),
    ...(each.forwardedFor && { 'X-Forwarded-For': each.forwardedFor }),
    ...(read === 'with-token' && { 'X-Aws-Ec2-Metadata-Token': 't' }),
    ...(read === false && { 'X-Aws-Ec2-Metadata-Token-Ttl-Seconds': '60' }),
  };
  const line = read === false ? 'PUT /latest/api/token' : 'GET /latest/meta-data/instance-id';
  script.say({ from: 'client', text: request(line, headers) });
  const isV2 = read !== true;
  if (status !== null) {
    script.wait(answersAfterMs * 1_000);
    const text = answer(status === 'lost' ? 200 : status, 'x', isV2 && status !== 401 ? TTL_ANSWER : {});
    if (status === 'lost') script.send('server', text);
    else script.say({ from: 'server', text }).fin('server').fin('client');
  }
  const closesAfterMs = each.closesAfterMs === undefined ? 1_000 : each.closesAfterMs;
  if (closesAfterMs !== null && (status === null || status === 'lost')) {
    script.wait(closesAfterMs * 1_000 - (status === null ? 0 : answersAfterMs * 1_000));
    script.closeWithoutReading(resets);
  }
  const { segments } = script;
  return segments.flatMap((segment) => {
    if (segment.destinationPort !== 80) return [{ ...segment, hopLimit: each.answerHopLimit ?? 64 }];
    return (each.hopLimits ?? [64]).map((hopLimit) => ({ ...segment, hopLimit }));
  });
}

async function play(
  segments: readonly Segment[],
  owners: ReadonlyMap<number, SocketOwner | null>,
): Promise<Call[]> {
  const attributor: Attributor = {
    onConnection: null,
    onClosed: null,
    method: 'ebpf',
    poll() {},
    ownerOf: ({ localPort }, atSyn) => (atSyn ? null : (owners.get(localPort) ?? null)),
    connectionClosed() {},
    counters: () => ({}),
    close() {},
  };
  const calls: Call[] = [];
  const workloads = new WorkloadIdentity({ engines: [] });
  const source = {
    name: 'replay',
    live: false,
    start(handler: PacketHandler) {
      for (const segment of segments) handler([packetOf(segment)]);
    },
    stop() {},
    counters: () => ({}),
  };
  const pipeline: Pipeline = new Pipeline({
    source: new PacketClock(source, (nowUs) => pipeline.tick(nowUs)),
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

function packetOf(segment: Segment): Packet {
  const bytes = (text: string) => text.split('.').map(Number);
  const data = ipv4(tcp(segment), {
    source: bytes(segment.sourceAddress),
    destination: bytes(segment.destinationAddress),
    timeToLive: segment.hopLimit,
  });
  return { data, linkType: 'RAW', timeUs: segment.timeUs, wireLength: data.length };
}

function ownerOf(program: Program): SocketOwner {
  return {
    ...snapshotOf(program),
    args: program.args,
    uid: 0,
    argsTruncated: false,
    workingDirectory: '/',
    netns: null,
    cgroupId: null,
    cgroupPaths: ['/x'],
    ancestors: (program.parents ?? []).map(snapshotOf),
    method: 'ebpf',
    confidence: 'exact',
  };
}

function snapshotOf({ pid, executable, args, name }: Program): ProcessSnapshot {
  const base = executable.slice(executable.lastIndexOf('/') + 1);
  return { pid, startTicks: pid * 10, name: name ?? base.slice(0, 15), executable, args };
}
