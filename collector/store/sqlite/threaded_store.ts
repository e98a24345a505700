/** The collector's side of the store's threads. Every method sends a message and resolves with its answer. */
import { Worker } from 'node:worker_threads';
import type { Window } from '../../contract/window.ts';
import type { HostChoice } from '../host_filter.ts';
import { sumsByQuestions } from '../place_sums.ts';
import type {
  BatchResult,
  CallFilter,
  CloudCount,
  CloudInstance,
  CloudInventory,
  HeardHost,
  HostsScope,
  Retention,
  RetentionResult,
  Scope,
  Store,
  StoredBatch,
} from '../store.ts';
import { backUp } from './backup.ts';
import { FINDINGS } from './findings_schema.ts';
import type { PackedHostBriefs } from './host_briefs.ts';
import type { PackedMembers } from './members_reader.ts';
import { writeWithNewCallers } from './new_callers.ts';
import { type PackedHost, unpackHost } from './packed_hosts.ts';
import { type PackedProfiles, ProfilesUnpacker } from './packed_profiles.ts';
import { type PackedHostTotals, unpackHostTotals } from './packed_totals.ts';
import { type Answer, decodeError, type ThreadData } from './thread_messages.ts';

/** A thread that dies more often than this within `RESTART_WINDOW_MS` is not started again. */
const MAX_RESTARTS = 5;
const RESTART_WINDOW_MS = 60_000;
/**
 * Bounds V8's young generation of a thread: semi-spaces of 8 MiB. Without it V8 lets them grow to 64 MiB on
 * a large machine, and a collector under a steady load of 200 calls a second grew from 290 MB resident to 510
 * MB within ten minutes (bench/RESULTS.md). `--max-semi-space-size` still goes before it.
 */
const MAX_YOUNG_GENERATION_MB = 24;

interface Pending {
  resolve: (value: never) => void;
  reject: (error: Error) => void;
}

/**
 * One thread. When it dies, pending questions reject and the next question starts another thread. Nothing is
 * lost: everything durable is in the database, and agents send a batch again whose write was interrupted. A
 * thread that keeps dying rejects all questions, so that agents keep their records.
 */
class StoreThread {
  readonly #data: ThreadData;
  readonly #lost: (error: Error) => void;
  #worker: Worker | null = null;
  #pending = new Map<number, Pending>();
  #nextId = 1;
  #deaths: number[] = [];
  #closed = false;

  constructor(data: ThreadData, lost: (error: Error) => void) {
    this.#data = data;
    this.#lost = lost;
    this.#worker = this.#start();
  }

  #start(): Worker {
    const worker = new Worker(new URL('./store_thread.ts', import.meta.url), {
      workerData: this.#data,
      resourceLimits: { maxYoungGenerationSizeMb: MAX_YOUNG_GENERATION_MB },
    });
    let died: Error | null = null;
    worker.on('message', (answer: Answer) => this.#onAnswer(answer));
    worker.on('error', (error) => {
      died = error instanceof Error ? error : new Error(String(error));
    });
    worker.on('exit', (code) => {
      if (this.#worker !== worker) return;
      this.#worker = null;
      const error = died ?? new Error(`The store's ${this.#data.role} thread ended with code ${code}.`);
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
      if (this.#closed) return;
      this.#deaths.push(performance.now());
      this.#lost(error);
    });
    worker.unref();
    return worker;
  }

  ask<T>(method: string, ...args: unknown[]): Promise<T> {
    if (this.#closed) return Promise.reject(new Error('The store is closed.'));
    return this.#ask(method, args);
  }

  #ask<T>(method: string, args: unknown[]): Promise<T> {
    if (this.#worker === null) {
      const since = performance.now() - RESTART_WINDOW_MS;
      this.#deaths = this.#deaths.filter((at) => at > since);
      if (this.#deaths.length > MAX_RESTARTS) {
        return Promise.reject(new Error(`The store's ${this.#data.role} thread keeps dying.`));
      }
      this.#worker = this.#start();
    }
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      const id = this.#nextId;
      this.#nextId += 1;
      this.#pending.set(id, { resolve, reject });
      // The process must not exit before the answer.
      worker.ref();
      worker.postMessage({ id, method, args });
    });
  }

  #onAnswer(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if (this.#pending.size === 0) this.#worker?.unref();
    if ('error' in answer) pending?.reject(decodeError(answer.error));
    else pending?.resolve(answer.value as never);
  }

  /** Closes the thread after it has answered all pending questions. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const worker = this.#worker;
    if (worker === null) return;
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    await this.#ask('close', []);
    worker.ref();
    await ended;
  }
}

export interface ThreadedStoreOptions {
  dataDir: string;
  /** Names of programs that are not the workload, besides the built-in ones. */
  helperPrograms?: readonly string[];
  /** Called when a thread has died, after its pending questions were rejected. */
  threadLost: (error: Error) => void;
  release: () => void;
}

export class ThreadedStore implements Store {
  readonly #dataDir: string;
  readonly #writer: StoreThread;
  readonly #reader: StoreThread;
  readonly #release: () => void;
  readonly #profiles = new ProfilesUnpacker();

  constructor({ dataDir, helperPrograms = [], threadLost, release }: ThreadedStoreOptions) {
    this.#dataDir = dataDir;
    this.#release = release;
    this.#writer = new StoreThread({ role: 'writer', dataDir, helperPrograms }, threadLost);
    this.#reader = new StoreThread({ role: 'reader', dataDir, helperPrograms }, threadLost);
  }

  lastSeq(stream: string, hostId: string): Promise<number | null> {
    return this.#writer.ask('lastSeq', stream, hostId);
  }
  async write(batches: StoredBatch[]): Promise<BatchResult[]> {
    return writeWithNewCallers(batches, (packed) => this.#writer.ask('write', packed));
  }
  heartbeats(heard: readonly HeardHost[]): Promise<void> {
    return this.#writer.ask('heartbeats', heard);
  }
  putCloudCounts(counts: CloudCount[]): Promise<void> {
    return this.#writer.ask('putCloudCounts', counts);
  }
  putCloudInstances(instances: CloudInstance[]): Promise<void> {
    return this.#writer.ask('putCloudInstances', instances);
  }
  putCloudInventory(inventory: CloudInventory): Promise<void> {
    return this.#writer.ask('putCloudInventory', inventory);
  }
  noteArrivals(nowUs: number): Promise<void> {
    return this.#writer.ask('noteArrivals', nowUs);
  }
  followArrivals(nowUs: number): Promise<number> {
    return this.#writer.ask('followArrivals', nowUs);
  }
  endArrivals(unlessFollowedUs: number): Promise<void> {
    return this.#writer.ask('endArrivals', unlessFollowedUs);
  }
  forgetArrivals(upTo: number): Promise<void> {
    return this.#writer.ask('forgetArrivals', upTo);
  }
  arrivals(after: number, limit: number): ReturnType<Store['arrivals']> {
    return this.#reader.ask('arrivals', after, limit);
  }
  arrivalsBehind(after: number): ReturnType<Store['arrivalsBehind']> {
    return this.#reader.ask('arrivalsBehind', after);
  }
  retain(retention: Retention, nowUs: number): Promise<RetentionResult> {
    return this.#writer.ask('retain', retention, nowUs);
  }
  /** Uses a connection of its own, so that neither thread waits for it. */
  async backup(file: string): Promise<void> {
    await backUp(this.#dataDir, FINDINGS.file, file);
  }

  identityTotals(scope: Scope): ReturnType<Store['identityTotals']> {
    return this.#reader.ask('identityTotals', scope);
  }
  measuredHops(scope: HostsScope): ReturnType<Store['measuredHops']> {
    return this.#reader.ask('measuredHops', scope);
  }
  async hostTotals(scope: HostsScope, withV2 = true): ReturnType<Store['hostTotals']> {
    return unpackHostTotals(await this.#reader.ask<PackedHostTotals>('packedHostTotals', scope, withV2));
  }
  callTotals(scope: Scope): ReturnType<Store['callTotals']> {
    return this.#reader.ask('callTotals', scope);
  }
  sumsByPlace(...question: Parameters<Store['sumsByPlace']>): ReturnType<Store['sumsByPlace']> {
    return sumsByQuestions(this, ...question);
  }
  workloadHosts(...question: Parameters<Store['workloadHosts']>): ReturnType<Store['workloadHosts']> {
    return this.#reader.ask('workloadHosts', ...question);
  }
  async hostBriefs(...question: Parameters<Store['hostBriefs']>): ReturnType<Store['hostBriefs']> {
    const { totals, ...briefs } = await this.#reader.ask<PackedHostBriefs>('packedHostBriefs', ...question);
    return { ...briefs, totals: unpackHostTotals(totals) };
  }
  callerHosts(...question: Parameters<Store['callerHosts']>): ReturnType<Store['callerHosts']> {
    return this.#reader.ask('callerHosts', ...question);
  }
  hostIds(...question: Parameters<Store['hostIds']>): ReturnType<Store['hostIds']> {
    return this.#reader.ask('hostIds', ...question);
  }
  async hostPage(...question: Parameters<Store['hostPage']>): ReturnType<Store['hostPage']> {
    return (await this.#reader.ask<PackedHost[]>('packedHostPage', ...question)).map(unpackHost);
  }
  reportedSpan(): ReturnType<Store['reportedSpan']> {
    return this.#reader.ask('reportedSpan');
  }
  reportedDays(choice: HostChoice): ReturnType<Store['reportedDays']> {
    return this.#reader.ask('reportedDays', choice);
  }
  countedHosts(...question: Parameters<Store['countedHosts']>): ReturnType<Store['countedHosts']> {
    return this.#reader.ask('countedHosts', ...question);
  }
  async profiles(): ReturnType<Store['profiles']> {
    const { lastId } = this.#profiles;
    return this.#profiles.unpack(await this.#reader.ask<PackedProfiles>('packedProfiles', lastId));
  }
  async members(...question: Parameters<Store['members']>): ReturnType<Store['members']> {
    const { totals, ...members } = await this.#reader.ask<PackedMembers>('packedMembers', ...question);
    return { ...members, totals: unpackHostTotals(totals) };
  }
  hostNames(hostIds: readonly string[]): ReturnType<Store['hostNames']> {
    return this.#reader.ask('hostNames', hostIds);
  }
  identities(ids: string[]): ReturnType<Store['identities']> {
    return this.#reader.ask('identities', ids);
  }
  identitiesAfter(row: number, limit: number): ReturnType<Store['identitiesAfter']> {
    return this.#reader.ask('identitiesAfter', row, limit);
  }
  series(scope: Scope, bucket: 'hour' | 'day', byIdentity: boolean): ReturnType<Store['series']> {
    return this.#reader.ask('series', scope, bucket, byIdentity);
  }
  callingDays(...question: Parameters<Store['callingDays']>): ReturnType<Store['callingDays']> {
    return this.#reader.ask('callingDays', ...question);
  }
  pathsV1(identity: string, limit: number): ReturnType<Store['pathsV1']> {
    return this.#reader.ask('pathsV1', identity, limit);
  }
  callers(identity: string, limit: number, hosts: HostChoice): ReturnType<Store['callers']> {
    return this.#reader.ask('callers', identity, limit, hosts);
  }
  async hosts(ids: readonly string[]): ReturnType<Store['hosts']> {
    return (await this.#reader.ask<PackedHost[]>('packedHosts', ids)).map(unpackHost);
  }
  coverage(window: Window, hosts: readonly string[]): ReturnType<Store['coverage']> {
    return this.#reader.ask('coverage', window, hosts);
  }
  calls(filter: CallFilter, limit: number, cursor: string | null): ReturnType<Store['calls']> {
    return this.#reader.ask('calls', filter, limit, cursor);
  }
  cloudCounts(window: Window, hosts: readonly string[]): ReturnType<Store['cloudCounts']> {
    return this.#reader.ask('cloudCounts', window, hosts);
  }
  cloudInstances(ids: readonly string[]): ReturnType<Store['cloudInstances']> {
    return this.#reader.ask('cloudInstances', ids);
  }
  cloudResources(): ReturnType<Store['cloudResources']> {
    return this.#reader.ask('cloudResources');
  }
  cloudInventory(): ReturnType<Store['cloudInventory']> {
    return this.#reader.ask('cloudInventory');
  }
  refusedV1(hostId: string, spans: Window[]): ReturnType<Store['refusedV1']> {
    return this.#reader.ask('refusedV1', hostId, spans);
  }

  answeredV1(hostId: string, spans: Window[]): ReturnType<Store['answeredV1']> {
    return this.#reader.ask('answeredV1', hostId, spans);
  }
  statistics(): ReturnType<Store['statistics']> {
    return this.#reader.ask('statistics');
  }
  heardHosts(sinceUs: number): ReturnType<Store['heardHosts']> {
    return this.#reader.ask('heardHosts', sinceUs);
  }

  async close(): Promise<void> {
    // The writer closes last: the last connection that closes moves the log into the database.
    await this.#reader.close();
    await this.#writer.close();
    this.#release();
  }
}
