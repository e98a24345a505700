/** One container engine behind its socket: whether it is there, when to ask it, when to leave it alone. */
import { statSync } from 'node:fs';
import type { Logger } from 'pino';
import type { Counters } from '../../../protocol/records.ts';
import type { RuntimeHint } from '../../linux/cgroup.ts';
import type { ContainerNames, EngineClient, EngineSink } from './engine_client.ts';

/** An engine that takes longer is broken for our purpose: no call waits for a name that long. */
const INSPECT_TIMEOUT_MS = 2_000;
/** Questions under way at once; further ones are refused and asked again later. */
const MAX_QUESTIONS = 256;
/** Between two looks whether a socket has appeared, two attempts to follow, two questions after a failure: doubling. */
const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 60_000;

export interface EngineOptions {
  /** For counters and messages: `docker`, `podman`, `cri`. */
  name: string;
  socketPath: string;
  /** Whose containers it may know. */
  serves: readonly RuntimeHint[];
  connect: (socketPath: string) => EngineClient;
  /** Whether its client can `follow`; one that cannot is not even made before there is something to ask. */
  tellsUnasked: boolean;
  log: Pick<Logger, 'debug' | 'warn'>;
  /** Milliseconds of a clock that only goes forward. */
  now: () => number;
}

/** Why there was no answer. */
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
  #questions = 0;
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

  /** Looks for the socket once and follows the engine if it is there and tells what happens. */
  start(sink: EngineSink): void {
    this.#sink = sink;
    this.#lookForSocket();
  }

  /** Whether its socket was there when it was last looked for. */
  get isPresent(): boolean {
    return this.#isPresent;
  }

  /** @param runtime null where a container's path does not say: then anyone may know it. */
  serves(runtime: RuntimeHint | null): boolean {
    return runtime === null || this.#options.serves.includes(runtime);
  }

  /** Whether it makes sense to ask now. Looks for a socket that was not there before, at most once a second. */
  ready(): boolean {
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
   * @throws EngineError when it gave no answer, or none that can be read. It is left alone for a while then.
   */
  async inspect(id: string, podUid: string | null): Promise<ContainerNames | null> {
    if (this.#isClosed || this.#questions >= MAX_QUESTIONS) {
      this.#counts.busy++;
      throw new EngineError(`${this.name} has too many questions to answer.`);
    }
    this.#questions++;
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
      this.#questions--;
    }
  }

  close(): void {
    this.#isClosed = true;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#following?.abort();
    this.#client?.close();
    this.#client = null;
  }

  /** By `<engine>_<counter>`. `told`: containers that it named unasked. */
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
    this.#isPresent = this.#isThere();
    if (!this.#isPresent) {
      this.#nextLookMs = now + this.#look.next();
      return;
    }
    this.#look.reset();
    const isFollowed = this.#following !== null || this.#retryTimer !== null;
    if (this.#options.tellsUnasked && !isFollowed) void this.#followOnce();
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
      this.#complain(error, this.#isLive ? 'lost' : 'cannot be followed');
    }
    this.#following = null;
    this.#isLive = false;
    this.#followLater();
  }

  /** An engine that was there once comes back, and what begins just then must be seen: looked for unasked. */
  #followLater(): void {
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = null;
      if (this.#isClosed) return;
      this.#isPresent = this.#isThere();
      if (this.#isPresent) void this.#followOnce();
      else if (this.#wasLive) this.#followLater();
    }, this.#follow.next());
    this.#retryTimer.unref();
  }

  #failed(error: unknown): void {
    if (this.#isClosed) return;
    this.#counts.errors++;
    // Several questions that fail together are one failure.
    const now = this.#options.now();
    if (now < this.#blockedUntilMs) return;
    this.#blockedUntilMs = now + this.#failure.next();
    this.#isPresent = this.#isThere();
    if (!this.#isPresent) this.#nextLookMs = now + this.#look.next();
    this.#complain(error, 'gave no answer');
  }

  #isThere(): boolean {
    try {
      return statSync(this.socketPath, { throwIfNoEntry: false })?.isSocket() ?? false;
    } catch (error) {
      this.#counts.errors++;
      this.#complain(error, 'cannot be looked for');
      return false;
    }
  }

  #complain(error: unknown, what: string): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.log.debug(
      { engine: this.name, socket: this.socketPath, reason },
      `container engine ${what}`,
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
