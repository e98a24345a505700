/**
 * Two network namespaces joined by a veth pair: a host, and a metadata service at 169.254.169.254 that
 * answers every connection at once ("/slow" after 200 ms). All packets to that address stay between the two.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SERVER = `
const answer = 'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok';
require('node:net').createServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.once('data', (head) => {
    if (head.includes('/slow')) setTimeout(() => socket.end(answer), 200);
    else socket.end(answer);
  });
}).listen(80, '::', () => process.stdout.write('ready\\n'));
`;
const HARNESS = fileURLToPath(new URL('./syn_harness.ts', import.meta.url));

/** Returns why these tests cannot run here, or false. */
export const whyNotHere: string | false =
  process.getuid?.() === 0 ? false : 'needs root and network namespaces';

export interface HarnessReport {
  seen: import('./syn_harness.ts').Seen[];
  counters: Record<string, number>;
}

let labs = 0;

export class NamespaceLab {
  readonly #host: string;
  readonly #service: string;
  readonly #children = new Set<ChildProcess>();
  readonly address = '169.254.77.2';

  constructor() {
    const id = `iwsd${process.pid}${labs++}`;
    this.#host = `${id}h`;
    this.#service = `${id}m`;
    ip('netns', 'add', this.#host);
    ip('netns', 'add', this.#service);
    ip(
      '-n',
      this.#host,
      'link',
      'add',
      'veth0',
      'type',
      'veth',
      'peer',
      'name',
      'veth0',
      'netns',
      this.#service,
    );
    for (const [namespace, own] of [
      [this.#host, this.address],
      [this.#service, '169.254.169.254'],
    ] as const) {
      ip('-n', namespace, 'link', 'set', 'lo', 'up');
      ip('-n', namespace, 'addr', 'add', `${own}/16`, 'dev', 'veth0');
      ip('-n', namespace, 'link', 'set', 'veth0', 'up');
    }
    ip('-n', this.#host, '-6', 'addr', 'add', 'fd00:ec2::2/64', 'dev', 'veth0', 'nodad');
    ip('-n', this.#service, '-6', 'addr', 'add', 'fd00:ec2::254/64', 'dev', 'veth0', 'nodad');
  }

  /** Runs the metadata service. */
  async serve(): Promise<void> {
    await this.#ready(this.#enter(this.#service, [process.execPath, '-e', SERVER], 'ignore'));
  }

  /** Runs `work` while the harness captures in the host namespace, and returns what it saw. */
  async watch(work: () => Promise<void>): Promise<HarnessReport> {
    const harness = this.#enter(
      this.#host,
      [process.execPath, '--disable-warning=ExperimentalWarning', HARNESS],
      'pipe',
    );
    const lines = await this.#ready(harness);
    await work();
    // The last packets may still be in the capture's queue.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const report = lines.next();
    harness.stdin!.end();
    return JSON.parse((await report).value ?? 'null');
  }

  /** Runs a command in the host namespace and returns what it printed. */
  async run(command: string[]): Promise<string> {
    const child = this.#enter(this.#host, command, 'ignore');
    let printed = '';
    child.stdout!.on('data', (chunk) => {
      printed += chunk;
    });
    await once(child, 'close');
    this.#children.delete(child);
    return printed;
  }

  async remove(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    ip('netns', 'del', this.#host);
    ip('netns', 'del', this.#service);
  }

  #enter(namespace: string, command: string[], stdin: 'ignore' | 'pipe'): ChildProcess {
    const child = spawn('nsenter', [`--net=/run/netns/${namespace}`, ...command], {
      stdio: [stdin, 'pipe', 'inherit'],
    });
    this.#children.add(child);
    return child;
  }

  async #ready(child: ChildProcess): Promise<AsyncIterator<string, string | undefined>> {
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const first = await lines.next();
    if (first.value !== 'ready') throw new Error(`A lab process did not start: ${first.value}`);
    return lines;
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
}
