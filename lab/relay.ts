/**
 * Forwards a port of this machine's loopback to a port of the lab's. The namespaces of a lab have no route to
 * the machine's own, so the connection goes through a socket in the file system, which is visible in both.
 */
import { existsSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab, LabPart } from './lab.ts';

const INNER_END = join(import.meta.dirname, 'relay_inner_end.ts');
const READY_TIMEOUT_MS = 5000;
const READY_STEP_MS = 20;

export class Relay implements LabPart {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Opens a relay to `port` on 127.0.0.1 of the lab's host. It ends with the lab. */
  static async open(lab: Lab, port: number): Promise<Relay> {
    const path = join(lab.home, `relay-${port}.sock`);
    lab.spawn([process.execPath, INNER_END, path, String(port)], { stdio: ['ignore', 'ignore', 'inherit'] });
    const server = createServer((outer) => {
      const inner = connect(path);
      // An error on one side closes the other. Neither may end the demo.
      outer.on('error', () => inner.destroy()).on('close', () => inner.destroy());
      inner.on('error', () => outer.destroy()).on('close', () => outer.destroy());
      outer.pipe(inner).pipe(outer);
    });
    const relay = new Relay(server);
    lab.addPart(relay);
    for (let waited = 0; !existsSync(path); waited += READY_STEP_MS) {
      if (waited > READY_TIMEOUT_MS) throw new Error('The way into the lab did not open.');
      await sleep(READY_STEP_MS);
    }
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
