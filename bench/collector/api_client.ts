/** Calls the collector's HTTP API like the page: over connections that stay open, with a person's token. */
import { Agent, type IncomingMessage, request } from 'node:http';

export interface Answer {
  body: unknown;
  bytes: number;
  /** Time from the request to the last byte of the answer. */
  ms: number;
}

export class ApiClient {
  readonly #url: string;
  readonly #headers: { authorization: string };
  readonly #agent = new Agent({ keepAlive: true });

  constructor(url: string, token: string) {
    this.#url = url;
    this.#headers = { authorization: `Bearer ${token}` };
  }

  /** Sends a request. Throws for any status but 200. */
  async get(path: string): Promise<Answer> {
    return this.#ask('GET', path, null);
  }

  async put(path: string, body: object): Promise<Answer> {
    return this.#ask('PUT', path, JSON.stringify(body));
  }

  async #ask(method: string, path: string, body: string | null): Promise<Answer> {
    const beganMs = performance.now();
    const response = await this.#open(method, path, body);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const ms = performance.now() - beganMs;
    const text = Buffer.concat(chunks).toString();
    if (response.statusCode !== 200) {
      throw new Error(`${method} ${path}: ${response.statusCode} ${text.slice(0, 300)}`);
    }
    // Answers with one value per line (`application/x-ndjson`) are no JSON document.
    const isJson = /^application\/json\b/.test(response.headers['content-type'] ?? '');
    return { body: isJson ? JSON.parse(text) : text, bytes: Buffer.byteLength(text), ms };
  }

  /**
   * Passes on the data of each server-sent event `call` with its arrival. Returns a function that ends the
   * stream.
   */
  async watch(path: string, onCall: (id: string, atMs: number) => void): Promise<() => void> {
    const response = await this.#open('GET', path, null);
    if (response.statusCode !== 200) throw new Error(`${path}: ${response.statusCode}`);
    let rest = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      const atMs = performance.now();
      const events = (rest + chunk).split('\n\n');
      rest = events.pop()!;
      for (const event of events) {
        const data = /^event: call\ndata: (.*)$/m.exec(event);
        if (data !== null) onCall((JSON.parse(data[1]!) as { id: string }).id, atMs);
      }
    });
    response.on('error', () => {}); // the collector ends, or we do: what did not come is counted by who waits for it
    return () => response.destroy();
  }

  #open(method: string, path: string, body: string | null): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers = { ...this.#headers, ...(body !== null && { 'content-type': 'application/json' }) };
      request(new URL(path, this.#url), { agent: this.#agent, method, headers }, resolve)
        .on('error', reject)
        .end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
