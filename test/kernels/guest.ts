/**
 * Runs in a virtual machine as its first process (main.ts): attributes callers by the tracepoint program, then by samples
 * of the tracepoint, both with the kernel's process events. Prints one line of JSON between marks.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { release } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KernelConnection } from '../../agent/attribution/attributor.ts';
import { EbpfAttributor } from '../../agent/attribution/ebpf.ts';
import type { SocketOwner } from '../../agent/attribution/owner.ts';
import { ProcessWatch } from '../../agent/attribution/process_watch.ts';
import { TracepointAttributor } from '../../agent/attribution/tracepoint.ts';
import type { KernelLoad, KernelReport } from './report.ts';

const ENDPOINT = '169.254.169.254';
/** A guest without hardware virtualisation is slow while its host does other work. */
const SETTLE_MS = 90_000;
const QUIET_MS = 500;

const owners = new Map<number, SocketOwner | null>();

function say(report: KernelReport): void {
  process.stdout.write(`\nREPORT ${JSON.stringify(report)} END\n`);
}

let attributor: TracepointAttributor;

function serve(): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
      const number = Number(/^GET \S*\?n=(\d+) /.exec(text)?.[1] ?? Number.NaN);
      if (Number.isNaN(number) || !text.includes('\n')) return;
      text = '';
      attributor.poll();
      const tuple = {
        ...{ localAddress: socket.remoteAddress!, localPort: socket.remotePort! },
        ...{ remoteAddress: socket.localAddress!, remotePort: 80 },
      };
      owners.set(number, attributor.ownerOf(tuple, false));
      socket.end('HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    });
  });
  return new Promise((resolve) => server.listen({ port: 80, host: ENDPOINT, backlog: 1024 }, resolve));
}

/** Runs a program `count` times, up to `atOnce` of them together; compares the owners with the pids of the processes. */
async function load(
  what: string,
  first: number,
  count: number,
  atOnce: number,
  program: string[],
): Promise<KernelLoad> {
  const runs = spawn('/bin/run_many', [first, count, atOnce].map(String).concat(program), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  for await (const chunk of runs.stdout) printed += chunk;
  const pids = new Map<number, number>();
  for (const line of printed.trim().split('\n')) {
    const [number, pid, status] = line.split(' ').map(Number);
    if (status === 0) pids.set(number!, pid!);
  }
  for (
    let waited = 0;
    waited < SETTLE_MS && [...pids.keys()].some((number) => !owners.has(number));
    waited += 100
  )
    await sleep(100);
  await sleep(QUIET_MS);
  const result: KernelLoad = {
    what,
    calls: pids.size,
    pid: 0,
    executable: 0,
    args: 0,
    uid: 0,
    exact: 0,
    wrong: 0,
  };
  for (const [number, pid] of pids) {
    const owner = owners.get(number) ?? null;
    if (owner === null) continue;
    if (owner.pid !== pid || (owner.executable !== null && owner.executable !== program[0])) result.wrong++;
    else {
      result.pid++;
      if (owner.executable === program[0]) result.executable++;
      if (owner.args?.[0] === program[0]) result.args++;
      if (owner.uid === 0) result.uid++;
      if (owner.confidence === 'exact') result.exact++;
    }
  }
  return result;
}

function firstProgram(): Pick<KernelReport, 'first' | 'handed'> {
  let ebpf: EbpfAttributor;
  try {
    ebpf = EbpfAttributor.open();
  } catch (error) {
    return { first: (error as Error).message, handed: 'not reported' };
  }
  const handed = ebpf.useOf === undefined ? 'not reported' : handOver(ebpf);
  ebpf.close();
  return { first: 'loaded', handed };
}

/** Lets a process connect and its child send. */
function handOver(ebpf: EbpfAttributor): string {
  const connections: KernelConnection[] = [];
  ebpf.onConnection = (connection) => connections.push(connection);
  // The kernel itself accepts the connection: this process waits, and answers nothing.
  const [opener, sender] = execFileSync('/bin/hand_over', ['/handed'], { encoding: 'utf8', timeout: 60_000 })
    .trim()
    .split(' ')
    .map(Number);
  ebpf.poll();
  const [connection] = connections;
  if (connection === undefined) return 'the connection was not reported';
  const { tuple, initialSequence } = connection;
  const first = (initialSequence + 1) >>> 0;
  const use = ebpf.useOf!(tuple, initialSequence, { first, last: first }, null);
  const found = [use?.opener?.pid, use?.sender?.pid];
  return found[0] === opener && found[1] === sender
    ? 'reported'
    : `opener and sender are ${opener} and ${sender}, and not ${found.join(' and ')}`;
}

/** Runs the loads, with fewer calls by the second way. */
async function loadsBy(way: string, first: number, part: number): Promise<KernelLoad[]> {
  const timer = setInterval(() => attributor.poll(), 1_000);
  const url = `http://${ENDPOINT}/latest/meta-data/instance-id?n={}`;
  const curl = ['/usr/bin/curl', '-s', '-m', '60', url];
  const oneShot = ['/bin/one_shot', '/latest/meta-data/instance-id?n={}'];
  const loads = [
    await load(`${way}, curl, one after another`, first + 1, 60 / part, 1, curl),
    await load(`${way}, curl, all at once`, first + 1_001, 40 / part, 40, curl),
    await load(`${way}, C, does not wait for its answer`, first + 2_001, 200 / part, 1, oneShot),
  ];
  clearInterval(timer);
  return loads;
}

async function main(): Promise<void> {
  attributor = TracepointAttributor.open({ fallback: null, processes: ProcessWatch.open() });
  await serve();
  const byProgram = await loadsBy('program', 0, 1);
  const counters = attributor.counters();
  attributor.close();
  attributor = TracepointAttributor.openSamples({ fallback: null, processes: ProcessWatch.openSamples() });
  const bySamples = await loadsBy('samples', 10_000, 2);
  counters['owners_lost'] =
    (counters['owners_lost'] ?? 0) + (attributor.counters()['sampled_owners_lost'] ?? 0);
  attributor.close();
  say({ kernel: release(), error: null, ...firstProgram(), loads: [...byProgram, ...bySamples], counters });
}

try {
  await main();
} catch (error) {
  say({
    kernel: release(),
    error: String((error as Error).stack),
    first: '',
    handed: 'not reported',
    loads: [],
    counters: {},
  });
}
execFileSync('/bin/busybox', ['poweroff', '-f']);
