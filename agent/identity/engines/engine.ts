/**
 * One container engine behind its socket: finds the socket, bounds the look-ups, and waits after failures.
 */
import { statSync } from 'node:fs';
import type { Logger } from 'pino';
import type { Counters } from '../../../protocol/records.ts';
import type { RuntimeHint } from '../../linux/cgroup.ts';
import type { ContainerNames, EngineClient, EngineSink } from './engine_client.ts';

/** An engine that takes longer is broken for our purpose: no call waits for a name that long. */
const INSPECT_TIMEOUT_MS = 2_000;
/** Bound on look-ups at the same time. Further ones are refused, and tried again later. */
const MAX_LOOKUPS = 256;
/**
 * Delays between two searches for the socket, two attempts to follow, and two look-ups after a failure. They
 * double.
 */
const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 60_000;

export interface EngineOptions {
  /** For counters and messages: `docker`, `podman`, `cri`. */
  name: string;
  socketPath: string;
  /** The runtimes whose containers it may know. */
  serves: readonly RuntimeHint[];
  connect: (socketPath: string) => EngineClient;
  /** True if its client can `follow`. Another client is made only for the first look-up. */
  canFollow: boolean;
  log: Pick<Logger, 'debug' | 'warn'>;
  /** Milliseconds of a clock that only goes forward. */
  now: () => number;
}

/** The engine gave no answer, for the reason in `cause`. */
export class EngineError extends Error {}

export class Engine {
  readonly name: string;
  readonly socketPath: string;
  readonly #options: EngineOptions;
  #client: EngineClient | null = null;
  #sink: EngineSink | null = null;
  #following: AbortController | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #isLive = false;
  #wasLive = false;
  #isPresent = false;
  #nextLookMs = 0;
  readonly #look = new Delay();
  readonly #follow = new Delay();
  readonly #failure = new Delay();
  #blockedUntilMs = 0;
  #lookups = 0;
  #isClosed = false;
  readonly #counts = {
    asked: 0,
    known: 0,
    unknown: 0,
    errors: 0,
    backed_off: 0,
    busy: 0,
    told: 0,
    followed: 0,
  };

  constructor(options: EngineOptions) {
    this.name = options.name;
    this.socketPath = options.socketPath;
    this.#options = options;
  }

  /** Looks for the socket once, and follows the engine's events if that is possible. */
  start(sink: EngineSink): void {
    this.#sink = sink;
    this.#lookForSocket();
  }

  /** True if the socket existed at the last search. */
  get isPresent(): boolean {
    return this.#isPresent;
  }

  /** @param runtime null where a container's path does not name one: then every engine may know it. */
  serves(runtime: RuntimeHint | null): boolean {
    return runtime === null || this.#options.serves.includes(runtime);
  }

  /** Returns true if a look-up makes sense now. Searches for a missing socket at most once a second. */
  isReady(): boolean {
    if (this.#isClosed) return false;
    const now = this.#options.now();
    if (!this.#isPresent && now >= this.#nextLookMs) this.#lookForSocket();
    if (!this.#isPresent) return false;
    if (now < this.#blockedUntilMs) {
      this.#counts.backed_off++;
      return false;
    }
    return true;
  }

  /**
   * Resolves null when the engine does not know the container.
   *
   * @throws EngineError when it gave no readable answer. It gets no look-ups for a while then.
   */
  async inspect(id: string, podUid: string | null): Promise<ContainerNames | null> {
    if (this.#isClosed || this.#lookups >= MAX_LOOKUPS) {
      this.#counts.busy++;
      throw new EngineError(`${this.name} has too many look-ups at the same time.`);
    }
    this.#lookups++;
    this.#counts.asked++;
    try {
      const names = await this.#connected().inspect(id, podUid, INSPECT_TIMEOUT_MS);
      this.#counts[names === null ? 'unknown' : 'known']++;
      this.#failure.reset();
      return names;
    } catch (error) {
      this.#failed(error);
      throw new EngineError(`${this.name} at ${this.socketPath} gave no answer.`, { cause: error });
    } finally {
      this.#lookups--;
    }
  }

  close(): void {
    this.#isClosed = true;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#following?.abort();
    this.#client?.close();
    this.#client = null;
  }

  /** Returns counters named `<engine>_<counter>`. `told` counts the containers that its events named. */
  counters(): Counters {
    return Object.fromEntries(
      Object.entries(this.#counts).map(([key, count]) => [`${this.name}_${key}`, count]),
    );
  }

  #connected(): EngineClient {
    this.#client ??= this.#options.connect(this.socketPath);
    return this.#client;
  }

  #lookForSocket(): void {
    const now = this.#options.now();
    this.#isPresent = this.#socketExists();
    if (!this.#isPresent) {
      this.#nextLookMs = now + this.#look.next();
      return;
    }
    this.#look.reset();
    const isFollowed = this.#following !== null || this.#retryTimer !== null;
    if (this.#options.canFollow && !isFollowed) void this.#followOnce();
  }

  async #followOnce(): Promise<void> {
    const sink = this.#sink;
    if (sink === null || this.#isClosed) return;
    const following = new AbortController();
    this.#following = following;
    try {
      const counting: EngineSink = {
        known: (names) => {
          this.#counts.told++;
          sink.known(names);
        },
        live: () => {
          this.#counts.followed++;
          this.#isLive = true;
          this.#wasLive = true;
          this.#follow.reset();
          this.#failure.reset();
          this.#blockedUntilMs = 0;
          sink.live();
        },
      };
      await this.#connected().follow?.(counting, following.signal);
    } catch (error) {
      if (this.#isClosed) return;
      this.#counts.errors++;
      this.#logProblem(error, this.#isLive ? 'lost' : 'cannot be followed');
    }
    this.#following = null;
    this.#isLive = false;
    this.#followLater();
  }

  /**
   * Searches for an engine that was there once: it may come back, and containers that start just then must be
   * seen.
   */
  #followLater(): void {
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = null;
      if (this.#isClosed) return;
      this.#isPresent = this.#socketExists();
      if (this.#isPresent) void this.#followOnce();
      else if (this.#wasLive) this.#followLater();
    }, this.#follow.next());
    this.#retryTimer.unref();
  }

  #failed(error: unknown): void {
    if (this.#isClosed) return;
    this.#counts.errors++;
    // Several look-ups that fail together are one failure.
    const now = this.#options.now();
    if (now < this.#blockedUntilMs) return;
    this.#blockedUntilMs = now + this.#failure.next();
    this.#isPresent = this.#socketExists();
    if (!this.#isPresent) this.#nextLookMs = now + this.#look.next();
    this.#logProblem(error, 'gave no answer');
  }

  #socketExists(): boolean {
    try {
      return statSync(this.socketPath, { throwIfNoEntry: false })?.isSocket() ?? false;
    } catch (error) {
      this.#counts.errors++;
      this.#logProblem(error, 'cannot be looked for');
      return false;
    }
  }

  #logProblem(error: unknown, problem: string): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.log.debug(
      { engine: this.name, socket: this.socketPath, reason },
      `container engine ${problem}`,
    );
  }
}

class Delay {
  #attempts = 0;

  next(): number {
    return Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts++);
  }

  reset(): void {
    this.#attempts = 0;
  }
}
