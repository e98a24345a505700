/**
 * Stores the heartbeats of all agents in groups, so that those of many hosts share one statement and one transaction. The
 * more hosts there are, the longer their heartbeats wait for one another. What is urgent waits for a second at most.
 *
 * A heartbeat that cannot be stored waits for the next group, or for the next heartbeat of its host. Its agent is not
 * refused: where the store is away, its next batch is.
 */
import type { Logger } from 'pino';
import type { Counters } from '../../protocol/records.ts';
import type { HeardHost, Store } from '../store/store.ts';
import type { Heard } from './heard_agent.ts';

/** A group with so many hosts makes the next one wait so long. */
const WAITS: readonly { hosts: number; waitMs: number }[] = [
  { hosts: 0, waitMs: 100 },
  { hosts: 10, waitMs: 1000 },
  { hosts: 100, waitMs: 10_000 },
];
const URGENT_WAIT_MS = 1000;
/** Share of the time after which a host is silent that a heartbeat may wait. */
const WAIT_SHARE = 0.1;
/** A transaction of more hosts would keep batches waiting. */
const HOSTS_AT_ONCE = 1000;

export interface HeartbeatWriterOptions {
  store: Pick<Store, 'heartbeats'>;
  /** Time without a heartbeat after which a host is silent. */
  silentAfterSeconds: number;
  log: Logger;
}

export class HeartbeatWriter {
  readonly #options: HeartbeatWriterOptions;
  readonly #mostMs: number;
  readonly #urgent = new Map<string, HeardHost>();
  readonly #others = new Map<string, HeardHost>();
  #urgentTimer: NodeJS.Timeout | null = null;
  #otherTimer: NodeJS.Timeout | null = null;
  #lastHosts = 0;
  #lastUrgentHosts = 0;
  /** Groups are stored one after the other, so that the latest heartbeat of a host is stored last. */
  #storing: Promise<void> = Promise.resolve();
  #isFailing = false;
  #isClosing = false;
  #counters = { heartbeat_groups: 0, heartbeats_stored: 0, heartbeat_bodies: 0, heartbeat_failures: 0 };

  constructor(options: HeartbeatWriterOptions) {
    this.#options = options;
    this.#mostMs = options.silentAfterSeconds * 1000 * WAIT_SHARE;
  }

  add({ host, isUrgent }: Heard): void {
    const waiting = this.#urgent.get(host.hostId) ?? this.#others.get(host.hostId);
    const merged = waiting === undefined ? host : mergeHeard(waiting, host);
    if (isUrgent || this.#urgent.has(host.hostId)) {
      this.#others.delete(host.hostId);
      this.#urgent.set(host.hostId, merged);
      const waitMs = Math.min(waitAfter(this.#lastUrgentHosts), URGENT_WAIT_MS, this.#mostMs);
      this.#urgentTimer ??= setTimeout(() => this.#storeUrgent(), waitMs);
    } else {
      this.#others.set(host.hostId, merged);
      const waitMs = Math.min(waitAfter(this.#lastHosts), this.#mostMs);
      this.#otherTimer ??= setTimeout(() => this.#storeOthers(), waitMs);
    }
  }

  #storeUrgent(): void {
    if (this.#urgentTimer !== null) clearTimeout(this.#urgentTimer);
    this.#urgentTimer = null;
    this.#lastUrgentHosts = this.#urgent.size;
    this.#store(this.#urgent);
  }

  #storeOthers(): void {
    if (this.#otherTimer !== null) clearTimeout(this.#otherTimer);
    this.#otherTimer = null;
    this.#lastHosts = this.#others.size;
    this.#store(this.#others);
  }

  #store(waiting: Map<string, HeardHost>): void {
    // In the order of their key, neighbours share pages, and collectors lock rows in the same order.
    const hosts = [...waiting.values()].sort((a, b) => (a.hostId < b.hostId ? -1 : 1));
    waiting.clear();
    for (let from = 0; from < hosts.length; from += HOSTS_AT_ONCE) {
      const group = hosts.slice(from, from + HOSTS_AT_ONCE);
      this.#storing = this.#storing.then(() => this.#storeGroup(group));
    }
  }

  async #storeGroup(group: HeardHost[]): Promise<void> {
    // A store that is away would be waited for once for each group.
    if (this.#isClosing && this.#isFailing) return;
    try {
      await this.#options.store.heartbeats(group);
      this.#counters.heartbeat_groups += 1;
      this.#counters.heartbeats_stored += group.length;
      for (const { said } of group) if (said !== null) this.#counters.heartbeat_bodies += 1;
      this.#isFailing = false;
    } catch (error) {
      this.#counters.heartbeat_failures += 1;
      const fields = { err: error, hosts: group.length };
      if (!this.#isFailing) this.#options.log.warn(fields, 'heartbeats could not be stored; trying again');
      this.#isFailing = true;
      this.#waitAgain(group);
    }
  }

  #waitAgain(group: readonly HeardHost[]): void {
    for (const host of group) {
      const { hostId } = host;
      const waiting = this.#urgent.has(hostId) ? this.#urgent : this.#others;
      const later = waiting.get(hostId);
      waiting.set(hostId, later === undefined ? host : mergeHeard(host, later));
    }
    const waitMs = Math.min(URGENT_WAIT_MS, this.#mostMs);
    if (this.#others.size > 0) this.#otherTimer ??= setTimeout(() => this.#storeOthers(), waitMs);
  }

  counters(): Counters {
    return { ...this.#counters };
  }

  /** Stores what waits. Resolves when it is stored or could not be. Nothing may be added any more. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#storeUrgent();
    this.#storeOthers();
    await this.#storing;
    for (const timer of [this.#urgentTimer, this.#otherTimer]) if (timer !== null) clearTimeout(timer);
  }
}

function waitAfter(hosts: number): number {
  return WAITS.findLast((each) => hosts >= each.hosts)!.waitMs;
}

/** Returns two heartbeats of a host as one. The host begins with the first. */
function mergeHeard(earlier: HeardHost, later: HeardHost): HeardHost {
  return {
    hostId: later.hostId,
    heardUs: later.heardUs,
    firstUs: earlier.firstUs ?? later.firstUs,
    said: later.said ?? earlier.said,
  };
}
