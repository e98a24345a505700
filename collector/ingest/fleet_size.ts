/** Counts now and then how many hosts all collectors of a store have heard lately. */
import type { Logger } from 'pino';
import type { Store } from '../store/store.ts';

const INTERVAL_MS = 30_000;

export interface FleetSizeOptions {
  store: Pick<Store, 'heardHosts'>;
  /** Time after which a host that was not heard does not count. */
  silentAfterSeconds: number;
  /** Default: 30 s. */
  intervalMs?: number | undefined;
  log: Logger;
}

export class FleetSize {
  readonly #options: FleetSizeOptions;
  readonly #timer: NodeJS.Timeout;
  #hosts = 0;

  constructor(options: FleetSizeOptions) {
    this.#options = options;
    void this.#count();
    this.#timer = setInterval(() => void this.#count(), options.intervalMs ?? INTERVAL_MS);
  }

  /** The number that was counted last; 0 before that. */
  get hosts(): number {
    return this.#hosts;
  }

  async #count(): Promise<void> {
    const { store, silentAfterSeconds, log } = this.#options;
    try {
      this.#hosts = await store.heardHosts((Date.now() - silentAfterSeconds * 1000) * 1000);
    } catch (error) {
      log.debug({ err: error }, 'the hosts of the fleet could not be counted; the next round tries again');
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
