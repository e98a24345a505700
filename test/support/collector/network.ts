/** A TCP proxy that a test can make fail in the ways a network does. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { resetConnection } from '../../../lab/reset_connection.ts';

interface Pair {
  agent: Socket;
  collector: Socket;
  /** Nothing gets through any more, in either direction, and neither side is told. */
  isLost: boolean;
}

/**
 * `hang`: bytes vanish, nobody is told. `swallow answers`: only what the collector says vanishes. `refuse`: no new
 * connections. `stall`: bytes wait, and come when the network is back.
 */
type Mode = 'pass' | 'hang' | 'swallow answers' | 'refuse' | 'stall';

export class Network {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #mode: Mode = 'pass';
  #back = Promise.withResolvers<void>();
  connections = 0;
  /** Time that each piece of data takes, in milliseconds. One piece is on its way at a time. */
  delayMs = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async to(port: number): Promise<Network> {
    const server = createServer();
    const proxy = new Network(server);
    server.on('connection', (agent) => proxy.#join(agent, connect(port, '127.0.0.1')));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get mode(): Mode {
    return this.#mode;
  }
  set mode(mode: Mode) {
    this.#mode = mode;
    this.#back.resolve();
    this.#back = Promise.withResolvers<void>();
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  #join(agent: Socket, collector: Socket): void {
    if (this.#mode === 'refuse') {
      agent.destroy();
      collector.destroy();
      return;
    }
    this.connections += 1;
    const pair = { agent, collector, isLost: false };
    this.#pairs.add(pair);
    for (const [from, to] of [
      [agent, collector],
      [collector, agent],
    ] as const) {
      from.on('data', (data) => {
        const isUnheard = this.#mode === 'swallow answers' && from === collector;
        if (this.#mode === 'hang' || isUnheard || pair.isLost) return;
        if (this.#mode === 'stall' || this.delayMs > 0) void this.#passLate(pair, from, to, data);
        else pass(from, to, data);
      });
      from.on('error', () => from.destroy());
      from.on('close', () => {
        if (this.#mode !== 'hang' && !pair.isLost) to.destroy();
        if (agent.destroyed && collector.destroyed) this.#pairs.delete(pair);
      });
    }
  }

  async #passLate(pair: Pair, from: Socket, to: Socket, data: Buffer): Promise<void> {
    from.pause();
    if (this.delayMs > 0) await sleep(this.delayMs);
    while (this.#mode === 'stall') await this.#back.promise;
    if (pair.isLost) return;
    from.resume();
    pass(from, to, data);
  }

  /** Resets every connection. */
  cut(): void {
    for (const { agent, collector } of this.#pairs) {
      resetConnection(agent);
      resetConnection(collector);
    }
    this.#pairs.clear();
  }

  /** Loses every connection that there is: neither side hears of the other one again. New ones are not affected. */
  lose(): void {
    for (const pair of this.#pairs) pair.isLost = true;
  }

  async close(): Promise<void> {
    this.cut();
    this.mode = 'pass';
    this.#server.close();
    await once(this.#server, 'close');
  }
}

function pass(from: Socket, to: Socket, data: Buffer): void {
  if (to.write(data)) return;
  from.pause();
  to.once('drain', () => from.resume());
}
