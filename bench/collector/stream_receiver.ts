/**
 * A receiver of a stream of calls in a process of its own. It counts each call of the simulated agents by the number in its id,
 * so that a call which is missing, comes twice or comes before an earlier one of its agent is found.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { Forked, obey } from './forked.ts';

export type ReceiverOrder =
  | { do: 'listen'; port: number }
  /** Nobody listens any more, and open connections end. */
  | { do: 'close' }
  | { do: 'report' };

export interface ReceiverReport {
  port: number;
  requests: number;
  /** Bytes of the bodies as they were sent. */
  bytes: number;
  calls: number;
  /** Calls with an id that came before. */
  duplicates: number;
  /** Calls that came after a later one of the same agent. */
  disordered: number;
  /** Calls with numbers below the highest one that did not come. */
  missing: number;
  cpuSeconds: number;
}

/** The id of a simulated agent's call: its agent, and the number of the call among all (`simulated_agent.ts`). */
const ID = /-7([0-9a-f]{3})-80([0-9a-f]{2})-([0-9a-f]{12})/g;
const MAX_CALLS = 20_000_000;

export class StreamReceiver extends Forked<ReceiverOrder, ReceiverReport> {
  constructor() {
    super(import.meta.filename);
  }
}

class Counter {
  readonly #seen = new Uint8Array(MAX_CALLS);
  readonly #last = new Map<string, number>();
  readonly #counts = { requests: 0, bytes: 0, calls: 0, duplicates: 0, disordered: 0 };
  #highest = 0;
  #server: Server | null = null;
  #port = 0;

  async obey(order: ReceiverOrder): Promise<ReceiverReport> {
    if (order.do === 'listen') await this.#listen(order.port);
    if (order.do === 'close') await this.#close();
    return this.#report();
  }

  async #listen(port: number): Promise<void> {
    const server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks);
      this.#take(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body, body.length);
      response.end();
    });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as { port: number }).port;
    this.#server = server;
  }

  async #close(): Promise<void> {
    const server = this.#server!;
    server.close();
    // A request that has begun is answered, so that no call is sent twice for want of an answer.
    server.closeIdleConnections();
    await once(server, 'close');
  }

  #take(body: Buffer, bytes: number): void {
    this.#counts.requests += 1;
    this.#counts.bytes += bytes;
    for (const [, low, high, text] of body.toString('latin1').matchAll(ID)) {
      const number = Number.parseInt(text!, 16);
      const agent = `${high}${low}`;
      this.#counts.calls += 1;
      if (this.#seen[number] === 1) this.#counts.duplicates += 1;
      if (number <= (this.#last.get(agent) ?? 0)) this.#counts.disordered += 1;
      this.#seen[number] = 1;
      this.#last.set(agent, number);
      this.#highest = Math.max(this.#highest, number);
    }
  }

  #report(): ReceiverReport {
    let missing = 0;
    for (let number = 1; number <= this.#highest; number += 1) missing += this.#seen[number] === 1 ? 0 : 1;
    const { user, system } = process.cpuUsage();
    return { ...this.#counts, port: this.#port, missing, cpuSeconds: (user + system) / 1e6 };
  }
}

if (process.send !== undefined && process.argv[1] === import.meta.filename) {
  const counter = new Counter();
  obey<ReceiverOrder, ReceiverReport>((order) => counter.obey(order));
}
