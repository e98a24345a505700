/**
 * Leads connections into and out of a lab. The namespaces of a lab have no route to the machine's own or to another
 * lab's, so each connection goes through a socket in the file system, which is visible everywhere.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { Lab, LabPart } from './lab.ts';

const FORWARDER = join(import.meta.dirname, 'forwarder.ts');
const READY_TIMEOUT_MS = 60_000;

/** Makes a socket in the file system that leads to `port` on 127.0.0.1 of the lab's host. Returns its path. */
export async function socketInto(lab: Lab, port: number): Promise<string> {
  const path = join(lab.home, `into-${port}.sock`);
  await forward(lab, path, String(port));
  return path;
}

/** Makes `port` on 127.0.0.1 of the lab's host lead to a socket in the file system. */
export async function portOutOf(lab: Lab, port: number, path: string): Promise<void> {
  await forward(lab, String(port), path);
}

/** Starts a forwarder, which ends with the lab. Resolves when it listens. */
async function forward(lab: Lab, from: string, to: string): Promise<void> {
  const { child, exited } = lab.spawn([process.execPath, FORWARDER, from, to], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await Promise.race([
    once(child.stdout!, 'data', { signal: AbortSignal.timeout(READY_TIMEOUT_MS) }),
    exited.then(() => Promise.reject(new Error(`The way from ${from} to ${to} in the lab did not open.`))),
  ]);
}

/** Forwards a port of this machine's loopback to a socket in the file system. */
export class Relay implements LabPart {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Opens a relay to `path`, which `socketInto` made. It ends with the lab. */
  static async open(lab: Lab, path: string): Promise<Relay> {
    const server = createServer((outer) => {
      const inner = connect(path);
      // An error on one side closes the other. Neither may end the demo.
      outer.on('error', () => inner.destroy()).on('close', () => inner.destroy());
      inner.on('error', () => outer.destroy()).on('close', () => outer.destroy());
      outer.pipe(inner).pipe(outer);
    });
    const relay = new Relay(server);
    lab.addPart(relay);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return relay;
  }

  /** On 127.0.0.1 of this machine. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.closeNow();
  }

  closeNow(): void {
    this.#server.close();
  }
}
