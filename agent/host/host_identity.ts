/**
 * Identifies the host, with the facts that the cloud has about it.
 *
 * The id is settled once, before the first record is sent, and then stays. It is the operator's, else DMI's
 * instance id, else the id that this host used before, else the instance id that the metadata service answers
 * within `SETTLE_WAIT_MS` of a first start, else the node's name, the machine id or the host's name. Later
 * answers change the other facts only: a changed id would separate a host from its records, its spool and its
 * credential.
 *
 * Account, region, zone, type, image and tags are requested from the metadata service once in each boot, with
 * IMDSv2 only. At most `MAX_REQUESTS_PER_BOOT` requests are sent, counted on disk so that restarts do not add
 * up. Nothing waits for them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Backoff } from '../../common/backoff.ts';
import type { HostFacts } from '../../protocol/call.ts';
import type { Counters } from '../../protocol/records.ts';
import { isSameMachine, type KeptHost, readHostCache, writeHostCache } from './host_cache.ts';
import {
  type GivenHost,
  type IdSource,
  idOf,
  type Machine,
  nameOf,
  readMachine,
  withGiven,
} from './host_facts.ts';
import { askInstanceMetadata, type InstanceFacts, NotLearnt } from './instance_metadata.ts';
import { OwnCalls } from './own_calls.ts';

/** Time that a first start waits for its instance id. Packets are captured meanwhile. */
const SETTLE_WAIT_MS = 3_000;
/** Bound of a random delay, so that agents that start together do not send their requests together. */
const START_JITTER_MS = 500;
const FIRST_RETRY_MS = 4_000;
const MAX_RETRY_MS = 600_000;
/** A token (over IPv4, then over IPv6), the document, the list of tags, and 12 tags. */
const MAX_REQUESTS_PER_ATTEMPT = 16;
const MAX_REQUESTS_PER_BOOT = 32;
const MAX_ATTEMPTS_PER_BOOT = 6;

export interface HostIdentityOptions {
  given: GivenHost;
  /** Directory of `host.json`. */
  directory: string;
  /** True if requests to the metadata service are allowed. */
  asks: boolean;
  bootId: string;
  /** The host id in a spool that is there already; null without one. */
  spoolHostId: string | null;
  log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
  machine?: Machine;
  /** Milliseconds before the first retry, doubling from there. */
  firstRetryMs?: number;
}

export class HostIdentity {
  /** Our own connections to the metadata service. */
  readonly own = new OwnCalls();
  /** Called when facts of the host were learnt since the start. */
  onLearnt: ((facts: HostFacts) => void) | null = null;
  readonly #options: HostIdentityOptions;
  readonly #machine: Machine;
  readonly #ending = new AbortController();
  readonly #counts = { attempts: 0, requests: 0, failures: 0, cache_failures: 0, foreign_cache: 0 };
  #kept: KeptHost;
  #isSettled: boolean;
  #learning: Promise<void> | null = null;

  constructor(options: HostIdentityOptions) {
    this.#options = options;
    this.#machine = options.machine ?? readMachine();
    const { given, bootId, spoolHostId } = options;
    const before = this.#readCache();
    const now = idOf(given, this.#machine);
    const { instanceId, xenUuid, machineId, nodeName } = this.#machine;
    const isThisBoot = before?.boot_id === bootId;
    this.#kept = {
      ...now,
      machine: { instanceId, xenUuid, machineId, nodeName },
      learnt: before?.learnt ?? null,
      learnt_boot_id: before?.learnt_boot_id ?? null,
      boot_id: bootId,
      attempts: isThisBoot ? before.attempts : 0,
      requests: isThisBoot ? before.requests : 0,
      failure: isThisBoot ? before.failure : null,
    };
    this.#isSettled = !options.asks || now.source === 'given' || now.source === 'dmi';
    if (now.source === 'given' || now.source === 'dmi') return;
    if (before !== null && before.source !== 'given' && before.source !== 'dmi') {
      this.#setId(before.id, before.source);
      // An id from the metadata service may have come here in a copied image. Then this is another boot, and
      // only Xen's mark shows it.
      this.#isSettled ||= before.source !== 'imds' || isThisBoot || xenUuid !== null;
    } else if (spoolHostId !== null && spoolHostId === now.id) {
      this.#isSettled = true; // the spool of a release that had no `host.json`
    }
    if (this.#isLearningOver) this.#isSettled = true;
  }

  get facts(): HostFacts {
    const { given } = this.#options;
    const { id, learnt } = this.#kept;
    const facts: HostFacts = { id, name: nameOf(given, this.#machine) };
    return withGiven(learnt === null ? facts : { ...facts, ...factsOf(learnt) }, given);
  }

  /** True if the id will not change, whatever is learnt. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  get source(): IdSource {
    return this.#kept.source;
  }

  /** Begins the requests that are allowed and needed. Resolves when the id will not change any more. */
  async settled(): Promise<HostFacts> {
    const firstAttempt = this.#learn();
    if (!this.#isSettled) {
      const waited = new AbortController();
      await Promise.race([firstAttempt, sleep(SETTLE_WAIT_MS, undefined, { signal: waited.signal })]);
      waited.abort();
      this.#isSettled = true;
    }
    this.#store();
    return this.facts;
  }

  counters(): Counters {
    return { ...this.#counts, learnt: this.#kept.learnt === null ? 0 : 1 };
  }

  stop(): void {
    this.#ending.abort();
  }

  #readCache(): KeptHost | null {
    const { directory, log } = this.#options;
    try {
      const { host, damaged } = readHostCache(directory);
      if (damaged) this.#counts.cache_failures++;
      if (host === null || isSameMachine(host.machine, this.#machine)) return host;
      this.#counts.foreign_cache++;
      log.warn(
        { was: host.id },
        'the stored facts of the host (host.json) are about another machine, because a disk image was copied; they are ignored',
      );
    } catch (error) {
      this.#logStoreFailure(error);
    }
    return null;
  }

  #setId(id: string, source: IdSource): void {
    this.#kept.id = id;
    this.#kept.source = source;
  }

  /** True if no more requests are sent in this boot: they were answered, or the limit is reached. */
  get #isLearningOver(): boolean {
    const { learnt_boot_id, boot_id, attempts, requests } = this.#kept;
    if (learnt_boot_id === boot_id) return true;
    return attempts >= MAX_ATTEMPTS_PER_BOOT || requests + MAX_REQUESTS_PER_ATTEMPT > MAX_REQUESTS_PER_BOOT;
  }

  /** Begins the attempts, of which each waits longer. Resolves at the end of the first one. */
  #learn(): Promise<void> {
    if (!this.#options.asks || this.#isLearningOver || this.#learning !== null) return Promise.resolve();
    const first = Promise.withResolvers<void>();
    this.#learning = this.#attempts(first.resolve)
      .catch((error) => {
        if ((error as Error).name !== 'AbortError') throw error;
      })
      .finally(first.resolve);
    return first.promise;
  }

  async #attempts(ended: () => void): Promise<void> {
    const { log, firstRetryMs = FIRST_RETRY_MS } = this.#options;
    const { signal } = this.#ending;
    const backoff = new Backoff(firstRetryMs, MAX_RETRY_MS);
    if (this.#isSettled) await sleep(Math.random() * START_JITTER_MS, undefined, { signal, ref: false });
    for (;;) {
      const learnt = await this.#attempt();
      ended();
      if (learnt) return;
      if (this.#isLearningOver) break;
      await sleep(backoff.next(), undefined, { signal, ref: false });
    }
    log.info(
      { reason: this.#kept.failure },
      'the instance metadata service gave no facts of this host and gets no more requests in this boot; to set the facts, use host_id, host_account, host_region and host_tags',
    );
  }

  async #attempt(): Promise<boolean> {
    const kept = this.#kept;
    const before = kept.requests;
    // The most that an attempt may take is written down first, so that an agent that is killed again and
    // again is bounded.
    kept.attempts++;
    kept.requests = before + MAX_REQUESTS_PER_ATTEMPT;
    if (!this.#store()) {
      kept.attempts = MAX_ATTEMPTS_PER_BOOT;
      kept.failure = 'the number of requests cannot be stored, so none is sent';
      return false;
    }
    this.#counts.attempts++;
    let sent = 0;
    try {
      const facts = await askInstanceMetadata({
        own: this.own,
        mayAsk: () => sent < MAX_REQUESTS_PER_ATTEMPT && ++sent > 0,
        signal: this.#ending.signal,
      });
      this.#useFacts(facts);
      return true;
    } catch (error) {
      if (!(error instanceof NotLearnt)) throw error;
      this.#counts.failures++;
      kept.failure = error.message;
      this.#options.log.debug(
        { reason: error.message },
        'the instance metadata service gave no facts of this host',
      );
      return false;
    } finally {
      this.#counts.requests += sent;
      kept.requests = before + sent;
      this.#store();
    }
  }

  #useFacts(learnt: InstanceFacts): void {
    const kept = this.#kept;
    const { log } = this.#options;
    if (this.#machine.instanceId !== null && learnt.instance_id !== this.#machine.instanceId) {
      throw new NotLearnt(
        `its instance id is ${learnt.instance_id}, and that of DMI is ${this.#machine.instanceId}: a proxy answers`,
        null,
      );
    }
    const before = JSON.stringify(this.facts);
    kept.learnt = learnt;
    kept.learnt_boot_id = kept.boot_id;
    kept.failure = null;
    if (!this.#isSettled) this.#setId(learnt.instance_id, 'imds');
    else if (kept.source === 'imds' && kept.id !== learnt.instance_id) {
      log.error(
        { was: kept.id, is: learnt.instance_id },
        'this host uses the instance id of another one (an image was copied); restart the agent to correct it',
      );
    }
    const { instance_id, account, region, zone } = learnt;
    log.info(
      { instance_id, account, region, zone },
      'the instance metadata service gave the facts of this host',
    );
    if (JSON.stringify(this.facts) !== before) this.onLearnt?.(this.facts);
  }

  /** Writes the cache. Returns false if that fails. */
  #store(): boolean {
    const { learnt, source } = this.#kept;
    const isOfAnother = source === 'imds' && learnt !== null && learnt.instance_id !== this.#kept.id;
    try {
      writeHostCache(
        this.#options.directory,
        isOfAnother ? { ...this.#kept, id: learnt.instance_id } : this.#kept,
      );
      return true;
    } catch (error) {
      this.#logStoreFailure(error);
      return false;
    }
  }

  #logStoreFailure(error: unknown): void {
    if (this.#counts.cache_failures++ > 0) return;
    this.#options.log.warn(
      { reason: (error as Error).message, directory: this.#options.directory },
      'the facts of this host cannot be stored, so the metadata service gets no requests for them; check spool_dir',
    );
  }
}

function factsOf({ account, region, zone, type, image_id, tags }: InstanceFacts): Partial<HostFacts> {
  return {
    'cloud.account.id': account,
    ...(region !== null && { 'cloud.region': region }),
    ...(zone !== null && { 'cloud.availability_zone': zone }),
    ...(type !== null && { type }),
    ...(image_id !== null && { 'image.id': image_id }),
    ...(tags !== null && Object.keys(tags).length > 0 && { tags }),
  };
}
