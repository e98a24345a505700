/** A TCP proxy that a test can make fail in the ways a network does. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { resetConnection } from '../../../lab/reset_connection.ts';

interface Pair {
  agent: Socket;
  collector: Socket;
}

export class Network {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  connections = 0;
  /**
   * `hang`: bytes vanish, nobody is told. `swallow answers`: only what the collector says vanishes. `refuse`:
   * no new connections.
   */
  mode: 'pass' | 'hang' | 'swallow answers' | 'refuse' = 'pass';

  private constructor(server: Server) {
    this.#server = server;
  }

  static async to(port: number): Promise<Network> {
    const server = createServer();
    const proxy = new Network(server);
    server.on('connection', (agent) => {
      if (proxy.mode === 'refuse') {
        agent.destroy();
        return;
      }
      proxy.connections += 1;
      const collector = connect(port, '127.0.0.1');
      const pair = { agent, collector };
      proxy.#pairs.add(pair);
      for (const [from, to] of [
        [agent, collector],
        [collector, agent],
      ] as const) {
        from.on('data', (data) => {
          if (proxy.mode === 'hang' || (proxy.mode === 'swallow answers' && from === collector)) return;
          if (!to.write(data)) {
            from.pause();
            to.once('drain', () => from.resume());
          }
        });
        from.on('error', () => from.destroy());
        from.on('close', () => {
          if (proxy.mode !== 'hang') to.destroy();
          proxy.#pairs.delete(pair);
        });
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resets every connection. */
  cut(): void {
    for (const { agent, collector } of this.#pairs) {
      resetConnection(agent);
      resetConnection(collector);
    }
    this.#pairs.clear();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
