/** A person who has signed in to a collector, and asks its API. */
import assert from 'node:assert/strict';
import type { Collector } from '../../../collector/main.ts';

export class Person {
  readonly #url: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(url: string, headers: Record<string, string>) {
    this.#url = url;
    this.headers = headers;
  }

  static async signIn({ pageUrl, signInLink }: Collector): Promise<Person> {
    const answer = await fetch(new URL('/api/v1/session', pageUrl), {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: pageUrl },
      body: JSON.stringify({ secret: new URL(await signInLink()).hash.slice(1) }),
    });
    assert.equal(answer.ok, true);
    const cookie = answer.headers.getSetCookie()[0]!.split(';')[0]!;
    return new Person(pageUrl, { cookie, origin: pageUrl });
  }

  /** Requests a path below `/api/v1`. */
  ask(
    path: string,
    { json, method = 'GET', signal }: { method?: string; json?: unknown; signal?: AbortSignal } = {},
  ): Promise<Response> {
    const url = new URL(`/api/v1${path}`, this.#url);
    const more = signal === undefined ? {} : { signal };
    if (json === undefined) return fetch(url, { method, headers: this.headers, ...more });
    const headers = { ...this.headers, 'content-type': 'application/json' };
    return fetch(url, { method, headers, body: JSON.stringify(json), ...more });
  }

  /** Returns the metrics of the collector, in the text format of Prometheus. */
  async metrics(): Promise<string> {
    return (await fetch(new URL('/metrics', this.#url), { headers: this.headers })).text();
  }

  async json(path: string): Promise<unknown> {
    const answer = await this.ask(path);
    assert.equal(answer.status, 200, path);
    return answer.json();
  }
}
