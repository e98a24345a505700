/**
 * Reports the state of this process to the service manager (systemd): ready, status, progress, stopping. The
 * protocol is sd_notify(3): lines of `KEY=VALUE` in one datagram. Without a service manager every method does
 * nothing. When a datagram cannot be sent, it is counted, and the first failure is logged.
 */
import type { Logger } from 'pino';
import type { Counters } from '../protocol/records.ts';
import { ALIVE_WATCHDOG_MS, openAliveFile } from './alive_file.ts';
import { openNotifySocket, type SendDatagram } from './notify_socket.ts';

/** Period of the state requests, unless the watchdog needs a shorter one. */
const FOLLOW_EVERY_MS = 10_000;
/** State requests per watchdog interval: one late answer must not end a healthy process. */
const REQUESTS_PER_WATCHDOG = 3;
const MAX_STATUS_CHARS = 300;

/** State of the process, as the service manager gets it. */
export interface ServiceState {
  /** One line for `systemctl status`. */
  status: string;
  /** Says why there is no progress; the watchdog then gets no signal. Null while there is progress. */
  stuck: string | null;
}

export interface ServiceManagerOptions {
  /** Null without a service manager. */
  send: SendDatagram | null;
  /** The service manager ends a process that sends nothing for this time; null without a watchdog. */
  watchdogMs: number | null;
  log: Pick<Logger, 'warn'>;
}

export class ServiceManager {
  readonly #send: SendDatagram | null;
  readonly #watchdogMs: number | null;
  readonly #log: Pick<Logger, 'warn'>;
  readonly #counts = { told: 0, not_told: 0, watchdog_told: 0, watchdog_withheld: 0 };
  #timer: NodeJS.Timeout | null = null;
  #isRequestPending = false;
  #status = '';
  #stuck: string | null = null;

  constructor({ send, watchdogMs, log }: ServiceManagerOptions) {
    this.#send = send;
    this.#watchdogMs = watchdogMs;
    this.#log = log;
  }

  /**
   * Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID (sd_notify(3), sd_watchdog_enabled(3)), in a
   * container IMDSWATCH_ALIVE_FILE. All are deleted from `env`: they are for this process and not for its
   * children.
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
        log.warn(
          `The state cannot be reported to the service manager: ${(error as Error).message}. Check the value of NOTIFY_SOCKET.`,
        );
      }
    }
    const isForUs = pid === undefined || pid === String(process.pid);
    const microseconds = Number(interval);
    const isWatched = isForUs && Number.isInteger(microseconds) && microseconds > 0;
    return new ServiceManager({ send, watchdogMs: isWatched ? microseconds / 1000 : null, log });
  }

  /** Tells whether there is a service manager to report to. */
  get isListening(): boolean {
    return this.#send !== null;
  }

  /** Reports that the start is complete. Units that wait for this one then start. */
  ready(status: string): void {
    this.#status = oneLine(status);
    this.#sendText(`READY=1\nSTATUS=${this.#status}`);
  }

  /** Reports that the start is still running. The service manager then waits two more minutes for it. */
  stillStarting(status: string): void {
    this.#status = oneLine(status);
    this.#sendText(`EXTEND_TIMEOUT_USEC=120000000\nSTATUS=${this.#status}`);
  }

  status(status: string): void {
    const line = oneLine(status);
    if (line === this.#status) return;
    this.#status = line;
    this.#sendText(`STATUS=${line}`);
  }

  /**
   * Requests the state three times per watchdog interval from now on, and reports it. While an answer is
   * pending nothing is sent: a process whose state never comes hangs.
   */
  follow(state: () => ServiceState | Promise<ServiceState>): void {
    if (this.#send === null || this.#timer !== null) return;
    const everyMs = Math.min(FOLLOW_EVERY_MS, (this.#watchdogMs ?? Infinity) / REQUESTS_PER_WATCHDOG);
    this.#timer = setInterval(() => void this.#reportState(state), everyMs);
    this.#timer.unref();
    void this.#reportState(state);
  }

  /** Reports that the process is stopping. The watchdog still applies, so `follow` goes on. */
  stopping(): void {
    this.#status = 'Stopping';
    this.#sendText('STOPPING=1\nSTATUS=Stopping');
  }

  /** Stops the requests of `follow`. */
  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /**
   * `not_told` counts datagrams that were not sent. `watchdog_withheld` counts state requests without
   * progress.
   */
  counters(): Counters {
    return { ...this.#counts };
  }

  async #reportState(state: () => ServiceState | Promise<ServiceState>): Promise<void> {
    if (this.#isRequestPending) {
      this.#counts.watchdog_withheld++;
      return;
    }
    this.#isRequestPending = true;
    let current: ServiceState;
    try {
      current = await state();
    } catch (error) {
      current = { status: 'Failed', stuck: error instanceof Error ? error.message : String(error) };
    } finally {
      this.#isRequestPending = false;
    }
    if (this.#timer === null) return; // `close` was called meanwhile
    if (current.stuck !== null && current.stuck !== this.#stuck) {
      this.#log.warn(
        `No progress: ${current.stuck}. The watchdog of the service manager gets no signal until this is over.`,
      );
    }
    this.#stuck = current.stuck;
    this.status(current.stuck === null ? current.status : `Stuck: ${current.stuck}`);
    if (current.stuck !== null) this.#counts.watchdog_withheld++;
    else if (this.#watchdogMs !== null && this.#sendText('WATCHDOG=1')) this.#counts.watchdog_told++;
  }

  #sendText(text: string): boolean {
    if (this.#send === null) return false;
    const failure = this.#send(text);
    if (failure === null) {
      this.#counts.told++;
      return true;
    }
    if (this.#counts.not_told++ === 0) {
      this.#log.warn(
        `The service manager cannot be reached (${failure}). It may restart this process as hanging.`,
      );
    }
    return false;
  }
}

/** Removes line breaks, which would begin another assignment of the protocol. */
function oneLine(status: string): string {
  return status.replace(/\p{Cc}+/gu, ' ').slice(0, MAX_STATUS_CHARS);
}
