/** Controls the metadata service of a lab: changes its behaviour, and keeps the requests that it saw. */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Behaviour, FromService, SeenRequest, ToService } from './ground_truth.ts';
import { NORMAL_BEHAVIOUR } from './ground_truth.ts';

const START_TIMEOUT_MS = 60_000;
const RECHECK_MS = 5;

type Done = Extract<FromService, { type: 'done' }>;

export class MetadataHandle {
  readonly #child: ChildProcess;
  readonly #seen: SeenRequest[] = [];
  readonly #waiting = new Map<number, (done: Done) => void>();
  #nextId = 1;
  #ended: Error | null = null;
  /** Resolves when the service has ended and all its messages were received. */
  readonly ended: Promise<void>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.ended = new Promise((resolve) => {
      child.once('disconnect', () => resolve());
    });
  }

  /** Returns the requests that it has reported so far, in that order. Complete when it has ended. */
  get seen(): readonly SeenRequest[] {
    return this.#seen;
  }

  /** Resolves when the service listens. Rejects with its output if it does not start. */
  static async attach(child: ChildProcess): Promise<MetadataHandle> {
    const handle = new MetadataHandle(child);
    let complaint = '';
    child.stderr?.on('data', (chunk) => {
      complaint += chunk;
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => reject(new Error('the metadata service did not come up')),
      START_TIMEOUT_MS,
    );
    child.on('message', (message: FromService) => {
      if (message.type === 'ready') resolve();
      else if (message.type === 'seen') handle.#seen.push(message.request);
      else handle.#waiting.get(message.id)?.(message);
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      handle.#ended = new Error(`the metadata service ended (${signal ?? code}): ${complaint.trim()}`);
      reject(handle.#ended);
      for (const wake of handle.#waiting.values()) wake({ type: 'done', id: 0, pending: 0, connections: 0 });
    });
    try {
      await promise;
    } finally {
      clearTimeout(timer);
    }
    return handle;
  }

  async #ask(message: { type: 'sync' } | { type: 'set'; change: Partial<Behaviour> }): Promise<Done> {
    if (this.#ended !== null) throw this.#ended;
    const id = this.#nextId++;
    const done = await new Promise<Done>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.send({ ...message, id } satisfies ToService);
    });
    this.#waiting.delete(id);
    if (this.#ended !== null) throw this.#ended;
    return done;
  }

  /**
   * Changes the given parts of the behaviour. They apply to every request that arrives after this resolves.
   */
  async set(change: Partial<Behaviour>): Promise<void> {
    await this.#ask({ type: 'set', change });
  }

  /** Returns the service to `NORMAL_BEHAVIOUR`. */
  async reset(): Promise<void> {
    await this.set(NORMAL_BEHAVIOUR);
  }

  /** Returns all requests so far in the order of their arrival. Waits for answers that are being sent. */
  async log(): Promise<SeenRequest[]> {
    while ((await this.#ask({ type: 'sync' })).pending > 0) await sleep(RECHECK_MS);
    return this.#seen.toSorted((a, b) => a.seq - b.seq);
  }

  /** Returns the number of connections that the service has accepted so far, with or without a request. */
  async connections(): Promise<number> {
    return (await this.#ask({ type: 'sync' })).connections;
  }

  /**
   * Resolves to the log when it has at least `count` requests. Throws if that takes longer than `timeoutMs`.
   */
  async waitFor(count: number, timeoutMs = 5000): Promise<SeenRequest[]> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const log = await this.log();
      if (log.length >= count) return log;
      if (Date.now() > deadline) {
        throw new Error(`the metadata service saw ${log.length} requests in ${timeoutMs} ms, not ${count}`);
      }
      await sleep(RECHECK_MS);
    }
  }
}
