/**
 * Describes what a service manager (systemd) is told of a process that it runs: that it is ready, what it is doing, that it makes
 * progress, that it is stopping. The protocol is sd_notify(3)'s: lines of `KEY=VALUE`, one datagram at a time. Without a
 * service manager every method does nothing; with one that does not listen, what was not told is counted and said once.
 */
import type { Logger } from 'pino';
import type { Counters } from '../protocol/records.ts';
import { ALIVE_WATCHDOG_MS, openAliveFile } from './alive_file.ts';
import { openNotifySocket, type SendDatagram } from './notify_socket.ts';

/** Asked this often where no watchdog asks for more. */
const FOLLOW_EVERY_MS = 10_000;
/** Asks per watchdog interval: one that comes late must not end a process that is well. */
const ASKS_PER_WATCHDOG = 3;
const MAX_STATUS_CHARS = 300;

/** States how a process is. */
export interface ServiceState {
  /** One line for `systemctl status`. */
  status: string;
  /** Why there is no progress, so that the watchdog must not be told that there is; null while there is. */
  stuck: string | null;
}

export interface ServiceManagerOptions {
  /** Null: nobody listens. */
  send: SendDatagram | null;
  /** The manager ends us when it hears nothing for so long; null: it does not watch. */
  watchdogMs: number | null;
  log: Pick<Logger, 'warn'>;
}

export class ServiceManager {
  readonly #send: SendDatagram | null;
  readonly #watchdogMs: number | null;
  readonly #log: Pick<Logger, 'warn'>;
  readonly #counts = { told: 0, not_told: 0, watchdog_told: 0, watchdog_withheld: 0 };
  #timer: NodeJS.Timeout | null = null;
  #isAsking = false;
  #status = '';
  #stuck: string | null = null;

  constructor({ send, watchdogMs, log }: ServiceManagerOptions) {
    this.#send = send;
    this.#watchdogMs = watchdogMs;
    this.#log = log;
  }

  /**
   * From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID (sd_notify(3), sd_watchdog_enabled(3)), which are taken out of
   * `env`: they are for this process, not for those that it starts. In a container, where nobody listens, from
   * IMDSWATCH_ALIVE_FILE.
   */
  static fromEnvironment(env: NodeJS.ProcessEnv, log: Pick<Logger, 'warn'>): ServiceManager {
    const { NOTIFY_SOCKET: address, WATCHDOG_USEC: interval, WATCHDOG_PID: pid } = env;
    const { IMDSWATCH_ALIVE_FILE: aliveFile } = env;
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID', 'IMDSWATCH_ALIVE_FILE'])
      delete env[name];
    if ((address === undefined || address === '') && aliveFile !== undefined && aliveFile !== '') {
      return new ServiceManager({ send: openAliveFile(aliveFile), watchdogMs: ALIVE_WATCHDOG_MS, log });
    }
    let send: SendDatagram | null = null;
    if (address !== undefined && address !== '') {
      try {
        send = openNotifySocket(address);
      } catch (error) {
        log.warn(`The service manager cannot be told how we are: ${(error as Error).message}.`);
      }
    }
    const isForUs = pid === undefined || pid === String(process.pid);
    const microseconds = Number(interval);
    const isWatched = isForUs && Number.isInteger(microseconds) && microseconds > 0;
    return new ServiceManager({ send, watchdogMs: isWatched ? microseconds / 1000 : null, log });
  }

  /** Tells whether anybody listens. */
  get isListening(): boolean {
    return this.#send !== null;
  }

  /** Units that wait for this one go on. */
  ready(status: string): void {
    this.#status = oneLine(status);
    this.#tell(`READY=1\nSTATUS=${this.#status}`);
  }

  /** The start goes on, and the manager waits two more minutes for it from now on. */
  stillStarting(status: string): void {
    this.#status = oneLine(status);
    this.#tell(`EXTEND_TIMEOUT_USEC=120000000\nSTATUS=${this.#status}`);
  }

  status(status: string): void {
    const line = oneLine(status);
    if (line === this.#status) return;
    this.#status = line;
    this.#tell(`STATUS=${line}`);
  }

  /**
   * Asks for the state from now on, three times per watchdog interval, and passes it on. While an answer is waited for
   * nothing is told: a state that never comes is a process that hangs.
   */
  follow(state: () => ServiceState | Promise<ServiceState>): void {
    if (this.#send === null || this.#timer !== null) return;
    const everyMs = Math.min(FOLLOW_EVERY_MS, (this.#watchdogMs ?? Infinity) / ASKS_PER_WATCHDOG);
    this.#timer = setInterval(() => void this.#ask(state), everyMs);
    this.#timer.unref();
    void this.#ask(state);
  }

  /** The end was asked for: the watchdog's time goes on, and so does `follow`. */
  stopping(): void {
    this.#status = 'Stopping';
    this.#tell('STOPPING=1\nSTATUS=Stopping');
  }

  /** Ends `follow`. */
  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** `not_told`: datagrams that did not go out. `watchdog_withheld`: asks with no progress to tell of. */
  counters(): Counters {
    return { ...this.#counts };
  }

  async #ask(state: () => ServiceState | Promise<ServiceState>): Promise<void> {
    if (this.#isAsking) {
      this.#counts.watchdog_withheld++;
      return;
    }
    this.#isAsking = true;
    let now: ServiceState;
    try {
      now = await state();
    } catch (error) {
      now = { status: 'Not well', stuck: error instanceof Error ? error.message : String(error) };
    } finally {
      this.#isAsking = false;
    }
    if (this.#timer === null) return; // closed meanwhile
    if (now.stuck !== null && now.stuck !== this.#stuck) {
      this.#log.warn(`No progress: ${now.stuck}. The service manager's watchdog is not told otherwise.`);
    }
    this.#stuck = now.stuck;
    this.status(now.stuck === null ? now.status : `Stuck: ${now.stuck}`);
    if (now.stuck !== null) this.#counts.watchdog_withheld++;
    else if (this.#watchdogMs !== null && this.#tell('WATCHDOG=1')) this.#counts.watchdog_told++;
  }

  #tell(text: string): boolean {
    if (this.#send === null) return false;
    const trouble = this.#send(text);
    if (trouble === null) {
      this.#counts.told++;
      return true;
    }
    if (this.#counts.not_told++ === 0) {
      this.#log.warn(`The service manager does not hear us (${trouble}); it may take us for hung.`);
    }
    return false;
  }
}

/** A line break would begin another assignment of the protocol. */
function oneLine(status: string): string {
  return status.replace(/\p{Cc}+/gu, ' ').slice(0, MAX_STATUS_CHARS);
}
