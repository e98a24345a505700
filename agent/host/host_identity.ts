/**
 * Which host this is, with what the cloud knows of it.
 *
 * The id is settled once, before the first record leaves, and stays: given by the operator, else DMI's instance id, else
 * the one that this host went by before, else the instance id as the metadata service says it within `SETTLE_WAIT_MS` of
 * a first start, else the node's name, the machine id or the host's name. What is learnt later changes the other facts only:
 * an id that changed would part a host's records, its spool and its credential from it.
 *
 * Account, region, zone, type, image and tags are asked of the metadata service once a boot: IMDSv2 or not at all, never more
 * than `MAX_REQUESTS_PER_BOOT` requests, counted on disk so that restarts do not add up. Nobody waits for them.
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

/** How long a first start waits to be told its instance id; packets are captured meanwhile. */
const SETTLE_WAIT_MS = 3_000;
/** Agents of one machine that start at once do not ask at once. */
const START_JITTER_MS = 500;
const FIRST_RETRY_MS = 4_000;
const MAX_RETRY_MS = 600_000;
/** A token (by IPv4, then by IPv6), the document, the list of tags, 12 of them. */
const MAX_REQUESTS_PER_ATTEMPT = 16;
const MAX_REQUESTS_PER_BOOT = 32;
const MAX_ATTEMPTS_PER_BOOT = 6;

export interface HostIdentityOptions {
  given: GivenHost;
  /** Where `host.json` is kept. */
  directory: string;
  /** Whether the metadata service may be asked at all. */
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
  /** Told when there is more to say of the host than at its start. */
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
      this.#go(before.id, before.source);
      // An id of the metadata service's may have come here in an image; then this is another boot, and no mark but Xen's shows it.
      this.#isSettled ||= before.source !== 'imds' || isThisBoot || xenUuid !== null;
    } else if (spoolHostId !== null && spoolHostId === now.id) {
      this.#isSettled = true; // from before there was a `host.json`
    }
    if (this.#asked) this.#isSettled = true;
  }

  get facts(): HostFacts {
    const { given } = this.#options;
    const { id, learnt } = this.#kept;
    const facts: HostFacts = { id, name: nameOf(given, this.#machine) };
    return withGiven(learnt === null ? facts : { ...facts, ...factsOf(learnt) }, given);
  }

  /** Whether the id stays as it is, whatever is learnt. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  get source(): IdSource {
    return this.#kept.source;
  }

  /** Begins to ask where that is allowed and needed. Resolves once the id will not change any more in this process. */
  async settled(): Promise<HostFacts> {
    const firstAttempt = this.#learn();
    if (!this.#isSettled) {
      const waited = new AbortController();
      await Promise.race([firstAttempt, sleep(SETTLE_WAIT_MS, undefined, { signal: waited.signal })]);
      waited.abort();
      this.#isSettled = true;
    }
    this.#keep();
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
      log.warn({ was: host.id }, 'what was kept of the host is about another machine: an image was copied');
    } catch (error) {
      this.#cannotKeep(error);
    }
    return null;
  }

  #go(id: string, source: IdSource): void {
    this.#kept.id = id;
    this.#kept.source = source;
  }

  /** Whether this boot's asking is over: answered, or given up. */
  get #asked(): boolean {
    const { learnt_boot_id, boot_id, attempts, requests } = this.#kept;
    if (learnt_boot_id === boot_id) return true;
    return attempts >= MAX_ATTEMPTS_PER_BOOT || requests + MAX_REQUESTS_PER_ATTEMPT > MAX_REQUESTS_PER_BOOT;
  }

  /** Resolves with the end of the first attempt; further ones follow by themselves. */
  #learn(): Promise<void> {
    if (!this.#options.asks || this.#asked || this.#learning !== null) return Promise.resolve();
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
      if (this.#asked) break;
      await sleep(backoff.next(), undefined, { signal, ref: false });
    }
    log.info(
      { reason: this.#kept.failure },
      'the instance metadata service says nothing of this host, and is not asked again in this boot; host_id, host_account, host_region and host_tags say it in its place',
    );
  }

  async #attempt(): Promise<boolean> {
    const kept = this.#kept;
    const before = kept.requests;
    // Written down first, as many as it may take: an agent that is killed and started over and over is bounded too.
    kept.attempts++;
    kept.requests = before + MAX_REQUESTS_PER_ATTEMPT;
    if (!this.#keep()) {
      kept.attempts = MAX_ATTEMPTS_PER_BOOT;
      kept.failure = 'what was asked cannot be written down, so nothing is';
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
      this.#take(facts);
      return true;
    } catch (error) {
      if (!(error instanceof NotLearnt)) throw error;
      this.#counts.failures++;
      kept.failure = error.message;
      this.#options.log.debug(
        { reason: error.message },
        'the instance metadata service did not say who this is',
      );
      return false;
    } finally {
      this.#counts.requests += sent;
      kept.requests = before + sent;
      this.#keep();
    }
  }

  #take(learnt: InstanceFacts): void {
    const kept = this.#kept;
    const { log } = this.#options;
    if (this.#machine.instanceId !== null && learnt.instance_id !== this.#machine.instanceId) {
      throw new NotLearnt(
        `it says that this is ${learnt.instance_id}, and DMI that it is ${this.#machine.instanceId}: a proxy answers`,
        null,
      );
    }
    const before = JSON.stringify(this.facts);
    kept.learnt = learnt;
    kept.learnt_boot_id = kept.boot_id;
    kept.failure = null;
    if (!this.#isSettled) this.#go(learnt.instance_id, 'imds');
    else if (kept.source === 'imds' && kept.id !== learnt.instance_id) {
      log.error(
        { was: kept.id, is: learnt.instance_id },
        'this host has gone by the instance id of another one (an image was copied); restart the agent to set it right',
      );
    }
    const { instance_id, account, region, zone } = learnt;
    log.info(
      { instance_id, account, region, zone },
      'learnt from the instance metadata service which host this is',
    );
    if (JSON.stringify(this.facts) !== before) this.onLearnt?.(this.facts);
  }

  /** False when it cannot be written. */
  #keep(): boolean {
    const { learnt, source } = this.#kept;
    const isOfAnother = source === 'imds' && learnt !== null && learnt.instance_id !== this.#kept.id;
    try {
      writeHostCache(
        this.#options.directory,
        isOfAnother ? { ...this.#kept, id: learnt.instance_id } : this.#kept,
      );
      return true;
    } catch (error) {
      this.#cannotKeep(error);
      return false;
    }
  }

  #cannotKeep(error: unknown): void {
    if (this.#counts.cache_failures++ > 0) return;
    this.#options.log.warn(
      { reason: (error as Error).message, directory: this.#options.directory },
      'what is known of this host cannot be kept, and the metadata service is not asked for it',
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
