/** Reads a live feed over HTTP, and makes the batches that a collector publishes. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type LiveOthers, liveOthers } from '../../../collector/contract/live.ts';
import { type ServedCall, servedCall } from '../../../collector/contract/served_call.ts';
import type { StoredBatch } from '../../../collector/store/store.ts';
import type { Call } from '../../../protocol/call.ts';
import { HOST } from './calls.ts';
import { eventually } from './stored.ts';

/** A batch with these calls of one host, each with its own caller. */
export function batchOf(calls: Call[]): StoredBatch {
  const bodies = calls.map((call) => {
    const { process, container, k8s, systemd, host: _, ...rest } = call;
    const { 'attribution.method': method, 'attribution.confidence': confidence, ...body } = rest;
    const caller = {
      process,
      container,
      k8s,
      systemd,
      'attribution.method': method,
      'attribution.confidence': confidence,
    };
    return { caller, body };
  });
  return {
    stream: randomUUID(),
    seq: 1,
    host: HOST,
    callers: bodies.map(({ caller }) => caller),
    records: bodies.map(({ body }, caller) => ({ kind: 'call', caller, call: body })),
  };
}

/** One feed, as a client reads it. Calls are checked against their schema. */
export class FeedReader {
  readonly calls: ServedCall[] = [];
  readonly comments: string[] = [];
  /** States of the other collectors, in the order of their events. */
  readonly others: LiveOthers[] = [];
  leftOut = 0;
  ended = false;
  readonly #abort = new AbortController();

  private constructor() {}

  static async open(ask: (signal: AbortSignal) => Promise<Response>): Promise<FeedReader> {
    const reader = new FeedReader();
    const response = await ask(reader.#abort.signal);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    void reader.#read(response.body!);
    await eventually('connected', () => reader.comments.includes('connected'));
    return reader;
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let text = '';
    try {
      for await (const chunk of body) {
        text += decoder.decode(chunk, { stream: true });
        const events = text.split('\n\n');
        text = events.pop()!;
        for (const event of events) this.#on(event);
      }
    } catch (error) {
      if (!this.#abort.signal.aborted) throw error;
    }
    this.ended = true;
  }

  #on(event: string): void {
    let name = 'message';
    let data = '';
    for (const line of event.split('\n')) {
      if (line.startsWith(':')) this.comments.push(line.slice(1).trim());
      else if (line.startsWith('event: ')) name = line.slice(7);
      else if (line.startsWith('data: ')) data = line.slice(6);
    }
    if (name === 'call') this.calls.push(servedCall.strict().parse(JSON.parse(data)));
    if (name === 'others') this.others.push(liveOthers.strict().parse(JSON.parse(data)));
    if (name === 'left_out') this.leftOut += (JSON.parse(data) as { calls: number }).calls;
  }

  async untilOthers(state: LiveOthers['state']): Promise<void> {
    await eventually(`the others are ${state}`, () => this.others.at(-1)?.state === state);
  }

  close(): void {
    this.#abort.abort();
  }
}
