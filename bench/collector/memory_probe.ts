/**
 * Is preloaded into every thread of the measured collector. When the benchmark asks, it collects garbage and
 * reports the memory that is still in use. Needs `--expose-gc`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BroadcastChannel, isMainThread, threadId } from 'node:worker_threads';

export interface MemoryAnswer {
  memory: {
    residentBytes: number;
    /** Heap in use of each thread after the collection, the main thread first. */
    heapBytes: number[];
    /** Buffers and other memory outside the main thread's heap. */
    externalBytes: number;
  };
}

type Message = { collect: true } | { thread: number; heapBytes: number };

/** A thread of the store answers only after its current query. */
const THREADS_ANSWER_MS = 1_500;

const channel = new BroadcastChannel('imdswatch-bench-memory');
(channel as unknown as { unref(): void }).unref();
const collectGarbage = (globalThis as { gc?: () => void }).gc;

function heapAfterCollection(): number {
  // The second collection frees the objects that finalizers of the first released.
  collectGarbage?.();
  collectGarbage?.();
  return process.memoryUsage().heapUsed;
}

if (isMainThread) {
  const others = new Map<number, number>();
  channel.onmessage = (event) => {
    const message = (event as { data: Message }).data;
    if ('thread' in message) others.set(message.thread, message.heapBytes);
  };
  process.on('message', async (message: unknown) => {
    if (message !== 'memory') return;
    others.clear();
    channel.postMessage({ collect: true } satisfies Message);
    await sleep(THREADS_ANSWER_MS);
    const main = heapAfterCollection();
    const { rss, external } = process.memoryUsage();
    const threads = [...others.keys()].sort((a, b) => a - b).map((thread) => others.get(thread)!);
    const answer: MemoryAnswer = {
      memory: { residentBytes: rss, heapBytes: [main, ...threads], externalBytes: external },
    };
    process.send?.(answer);
  });
} else {
  channel.onmessage = (event) => {
    const message = (event as { data: Message }).data;
    if (!('collect' in message)) return;
    channel.postMessage({ thread: threadId, heapBytes: heapAfterCollection() } satisfies Message);
  };
}
