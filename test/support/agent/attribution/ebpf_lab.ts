/**
 * A caller's and a metadata service's network namespace, joined by a veth pair, for the eBPF tests. The
 * service prints the address and port of each request, so that the kernel's records can be compared with
 * them.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { FlowTuple } from '../../../../agent/flow.ts';
import type { ProcessSnapshot } from '../../../../agent/linux/process_snapshot.ts';

/** Reads one request line per connection, prints its origin and answers. */
const SERVICE = `
const { createServer } = require('node:net');
let listening = 0;
for (const host of ['169.254.169.254', 'fd00:ec2::254']) {
  createServer({ allowHalfOpen: true }, (socket) => {
    let text = '';
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      text += chunk;
      const path = /^GET (\\S+)/.exec(text)?.[1];
      if (!path || !text.includes('\\r\\n')) return;
      const { remoteAddress, remotePort, localAddress } = socket;
      process.stdout.write(JSON.stringify({ path, remoteAddress, remotePort, localAddress }) + '\\n');
      text = '';
      socket.end('HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n');
    });
  }).listen(80, host, () => { if (++listening === 2) process.stdout.write('{"ready":true}\\n'); });
}`;

export interface Started {
  pid: number;
  startTicks: number;
  ended: Promise<number | null>;
}

let labs = 0;

export class EbpfLab {
  readonly #caller: string;
  readonly #service: string;
  readonly #children = new Set<ChildProcess>();
  #server: ChildProcess | null = null;
  /** Inode number of the caller's network namespace. */
  readonly netns: number;

  constructor() {
    const id = `iweb${process.pid}x${labs++}`;
    const unit = process.pid % 50_000;
    const ipv4 = `10.77.${unit >> 8}.${unit & 255}`;
    const ipv6 = `fd00:77:${unit.toString(16)}::2`;
    this.#caller = `${id}c`;
    this.#service = `${id}s`;
    ip('netns', 'add', this.#caller);
    ip('netns', 'add', this.#service);
    ip(`-n ${this.#caller} link add veth0 type veth peer name veth0 netns ${this.#service}`);
    ip(`-n ${this.#caller} addr add ${ipv4}/32 dev veth0`);
    ip(`-n ${this.#caller} -6 addr add ${ipv6}/128 dev veth0 nodad`);
    ip(`-n ${this.#service} addr add 169.254.169.254/32 dev veth0`);
    ip(`-n ${this.#service} -6 addr add fd00:ec2::254/128 dev veth0 nodad`);
    for (const namespace of [this.#caller, this.#service]) {
      ip(`-n ${namespace} link set lo up`);
      ip(`-n ${namespace} link set veth0 up`);
    }
    ip(`-n ${this.#caller} route add 169.254.169.254/32 dev veth0 src ${ipv4}`);
    ip(`-n ${this.#caller} -6 route add fd00:ec2::254/128 dev veth0 src ${ipv6}`);
    ip(`-n ${this.#service} route add ${ipv4}/32 dev veth0`);
    ip(`-n ${this.#service} -6 route add ${ipv6}/128 dev veth0`);
    this.netns = statSync(`/run/netns/${this.#caller}`).ino;
  }

  /** Runs the metadata service; `seen` is called for each request at once. */
  async serve(seen: (path: string, tuple: FlowTuple) => void): Promise<void> {
    const server = this.#enter(this.#service, [process.execPath, '-e', SERVICE], 'pipe');
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('exit', () => reject(new Error('the metadata service of the lab did not start')));
      createInterface({ input: server.stdout! }).on('line', (line) => {
        const told = JSON.parse(line);
        if (told.ready) return resolve();
        seen(told.path, {
          localAddress: told.remoteAddress,
          localPort: told.remotePort,
          remoteAddress: told.localAddress,
          remotePort: 80,
        });
      });
    });
  }

  /** Gives the service's side one more IPv4 address, at which nobody listens. */
  addAddress(address: string): void {
    ip(`-n ${this.#service} addr add ${address}/32 dev veth0`);
    ip(`-n ${this.#caller} route add ${address}/32 dev veth0`);
  }

  /** Stops the metadata service: from now on its port refuses connections. */
  async stopServing(): Promise<void> {
    const server = this.#server!;
    const ended = once(server, 'exit');
    server.kill('SIGKILL');
    await ended;
  }

  /** Drops packets to the metadata service before they leave, from now on. */
  block(): void {
    execFileSync('nsenter', [
      `--net=/run/netns/${this.#caller}`,
      'nft',
      'add table inet block; add chain inet block out { type filter hook output priority 0; }; add rule inet block out ip daddr 169.254.169.254 drop',
    ]);
  }

  /**
   * Starts a command in the caller's namespace. `nsenter` becomes the command by exec, so its pid stays the
   * same.
   */
  start(command: string[]): Started {
    const child = this.#enter(this.#caller, command, 'ignore');
    const pid = child.pid!;
    // The event loop has not reaped it yet, so even a process that has ended can still be read.
    return {
      pid,
      startTicks: startTicksOf(pid),
      ended: once(child, 'close').then(([code]) => {
        this.#children.delete(child);
        return code as number | null;
      }),
    };
  }

  async remove(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    ip('netns', 'del', this.#caller);
    ip('netns', 'del', this.#service);
  }

  #enter(namespace: string, command: string[], output: 'ignore' | 'pipe'): ChildProcess {
    const child = spawn('nsenter', [`--net=/run/netns/${namespace}`, ...command], {
      stdio: ['ignore', output, 'ignore'],
    });
    this.#children.add(child);
    return child;
  }
}

/**
 * Returns a process and its parents from /proc, nearest first. The kernel's own record must agree with them.
 */
export function chainOf(pid: number): ProcessSnapshot[] {
  const chain: ProcessSnapshot[] = [];
  for (let at = pid; at !== 0; ) {
    const stat = readFileSync(`/proc/${at}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    chain.push({
      pid: at,
      startTicks: Number(fields[19]),
      name: readFileSync(`/proc/${at}/comm`, 'utf8').trimEnd(),
      executable: executableOf(at),
    });
    at = Number(fields[1]);
  }
  return chain;
}

/** Returns null if even root may not read it. */
function executableOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
  } catch {
    return null;
  }
}

function startTicksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
}

function ip(...args: string[]): void {
  execFileSync('ip', args.length === 1 ? args[0]!.split(' ') : args);
}
