/** Collects heartbeats, so that those of many hosts share one transaction and one sync to disk. */
import type { Heartbeat } from '../../../protocol/records.ts';

export interface ReceivedHeartbeat {
  heartbeat: Heartbeat;
  receivedUs: number;
}

/** Time in which heartbeats join a group: as few as come from some tens of hosts, or more. */
const FEW_WAIT_MS = 100;
const MANY_WAIT_MS = 1000;
/** Heartbeats of a group after which the next one waits longer. With the usual interval they come from 1,000 hosts. */
const MANY = 10;

export class HeartbeatGroup {
  readonly #store: (group: ReceivedHeartbeat[]) => void;
  /**
   * The first and the newest heartbeat of each host. No more than these two are written at once, however many
   * arrive.
   */
  readonly #waiting = new Map<string, ReceivedHeartbeat[]>();
  #stored: Promise<void> | null = null;
  #waitMs = FEW_WAIT_MS;

  constructor(store: (group: ReceivedHeartbeat[]) => void) {
    this.#store = store;
  }

  /** Resolves when the heartbeat is stored, or a newer one of its host. Rejects where the group could not be. */
  add(received: ReceivedHeartbeat): Promise<void> {
    const id = received.heartbeat.host_id;
    const first = this.#waiting.get(id)?.slice(0, 1) ?? [];
    this.#waiting.set(id, [...first, received]);
    this.#stored ??= new Promise((resolve) => setTimeout(resolve, this.#waitMs)).then(() => this.#flush());
    return this.#stored;
  }

  #flush(): void {
    const group = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    this.#stored = null;
    this.#waitMs = group.length >= MANY ? MANY_WAIT_MS : FEW_WAIT_MS;
    this.#store(group);
  }

  /** Resolves when all heartbeats are stored or refused. */
  async settled(): Promise<void> {
    await this.#stored?.catch(() => {});
  }
}
