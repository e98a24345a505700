/** Opens the best attributor that this host allows, and logs once why it is not the exact one. */
import { statSync } from 'node:fs';
import type { Logger } from 'pino';
import { OperatorError } from '../../common/operator_error.ts';
import type { EndpointService } from '../../protocol/endpoints.ts';
import { BpfUnavailable } from '../linux/ebpf_failure.ts';
import { NetlinkRefused } from '../linux/netlink_socket.ts';
import type { Attributor } from './attributor.ts';
import { EbpfAttributor } from './ebpf.ts';
import { ProcessWatch } from './process_watch.ts';
import { SockDiagAttributor, type SockDiagOptions } from './sock_diag.ts';
import { TracepointAttributor } from './tracepoint.ts';

export type AttributionMode = 'auto' | 'ebpf' | 'tracepoint' | 'proc';

export interface OpenAttributorOptions {
  /**
   * `auto`: the first of the others that the host allows. `ebpf`: the program that needs the kernel's type information,
   * or an error. `tracepoint`: the program that does without, or an error. `proc`: sock_diag with /proc.
   */
  mode: AttributionMode;
  /** Endpoints to report on. Defaults to the instance metadata service only. */
  endpoints?: readonly EndpointService[];
  log: Pick<Logger, 'debug' | 'info' | 'warn'>;
  /** Called when `auto` can use no eBPF program, after the warning and before sock_diag is opened. */
  onFallback?: () => void;
}

export interface OpenedAttributor {
  attributor: Attributor;
  /** The reason why a better way is not used; null if it is the best one. */
  reason: string | null;
  /** The reason why there are no process events; null if there are, and where they are not needed. */
  eventsReason: string | null;
}

/** Inode number of the initial pid namespace (PROC_PID_INIT_INO in include/linux/proc_ns.h). */
const INITIAL_PID_NAMESPACE_INODE = 0xeffffffc;

/**
 * Opens the attributor of a mode.
 * @throws OperatorError with exit code 3 if this host does not allow the mode.
 */
export function openAttributor(options: OpenAttributorOptions): OpenedAttributor {
  const { mode, log } = options;
  const reasons: string[] = [];
  if (mode === 'auto' || mode === 'ebpf') {
    const opened = tryOpen(log, () => openEbpf(options));
    if (!(opened instanceof BpfUnavailable)) return { attributor: opened, reason: null, eventsReason: null };
    if (mode === 'ebpf') throw notPossible(opened);
    reasons.push(opened.message);
  }
  if (mode === 'auto' || mode === 'tracepoint') {
    const { processes, eventsReason } = openProcesses(log);
    const opened = tryOpen(log, () => openTracepoint(options, processes));
    if (!(opened instanceof BpfUnavailable)) {
      const reason = reasons[0] ?? 'the setting attribution is tracepoint';
      if (mode === 'auto')
        log.info(`Callers are reported by the program on a tracepoint, because ${reason}.`);
      return { attributor: opened, reason, eventsReason };
    }
    processes?.close();
    if (mode === 'tracepoint') throw notPossible(opened);
    reasons.push(`nor the program on a tracepoint: ${opened.message}`);
    log.warn(
      `Exact attribution (eBPF) is not possible: ${reasons.join('; ')}. Callers are looked up with sock_diag and /proc instead.`,
    );
    options.onFallback?.();
  }
  const { processes, eventsReason } = openProcesses(log);
  const reason = reasons.length === 0 ? 'eBPF is turned off by the configuration' : reasons.join('; ');
  const sockDiag = openSockDiag(log, reasons, processes);
  return { attributor: withSamples(options, sockDiag, processes), reason, eventsReason };
}

/**
 * Adds the kernel's samples of connections, which name callers that end before they are looked for. Without process
 * events nothing would be known of such a caller.
 */
function withSamples(
  { endpoints, log, mode }: OpenAttributorOptions,
  sockDiag: Attributor,
  processes: ProcessWatch | null,
): Attributor {
  if (processes === null) return sockDiag;
  try {
    const sampled = TracepointAttributor.openSamples({
      endpoints: endpoints ?? ['imds'],
      fallback: sockDiag,
      processes,
    });
    if (mode === 'auto') log.info("Samples of the kernel's tracepoint name callers that end at once, too.");
    return sampled;
  } catch (error) {
    if (!(error instanceof BpfUnavailable)) throw error;
    log.info(`${error.message}. Callers that end at once may stay unknown.`);
    return sockDiag;
  }
}

function tryOpen(log: OpenAttributorOptions['log'], open: () => Attributor): Attributor | BpfUnavailable {
  try {
    const attributor = open();
    warnOfOtherPidNamespace(log);
    return attributor;
  } catch (error) {
    if (!(error instanceof BpfUnavailable)) throw error;
    if (error.libbpfLog !== '') log.debug({ libbpf: error.libbpfLog }, 'output of libbpf');
    return error;
  }
}

function notPossible(cause: BpfUnavailable): OperatorError {
  return new OperatorError(
    3,
    `Exact attribution (eBPF) is not possible: ${cause.message}. Remove the cause, or set attribution to "auto".`,
    { cause },
  );
}

function openEbpf({ endpoints, log }: OpenAttributorOptions): Attributor {
  const fallback = openFallback(log, { threadNice: null });
  try {
    return EbpfAttributor.open({ endpoints: endpoints ?? ['imds'], ...(fallback !== null && { fallback }) });
  } catch (error) {
    fallback?.close();
    throw error;
  }
}

function openTracepoint(
  { endpoints, log }: OpenAttributorOptions,
  processes: ProcessWatch | null,
): Attributor {
  // Programs are read from /proc while they start: the thread must not wait for a processor.
  const fallback = openFallback(log, {});
  try {
    return TracepointAttributor.open({ endpoints: endpoints ?? ['imds'], fallback, processes });
  } catch (error) {
    fallback?.close();
    throw error;
  }
}

/** Opens the kernel's process events; without them callers that end early are found less often. */
function openProcesses(log: OpenAttributorOptions['log']): {
  processes: ProcessWatch | null;
  eventsReason: string | null;
} {
  try {
    return { processes: ProcessWatch.open(), eventsReason: null };
  } catch (error) {
    if (!(error instanceof NetlinkRefused)) throw error;
    log.info(`${error.message}. Programs that end at once may stay unknown.`);
    return { processes: null, eventsReason: error.message };
  }
}

/** Opens the attributor for connections that are older than the agent; the programs work without it. */
function openFallback(log: OpenAttributorOptions['log'], options: SockDiagOptions): Attributor | null {
  try {
    return SockDiagAttributor.open(options);
  } catch (error) {
    log.info(
      `The callers of connections that are older than the agent stay unknown: ${error instanceof Error ? error.message : error}`,
    );
    return null;
  }
}

function openSockDiag(
  log: OpenAttributorOptions['log'],
  reasons: readonly string[],
  processes: ProcessWatch | null,
): Attributor {
  try {
    return SockDiagAttributor.open({ log: { warn: (message) => log.warn(message) }, processes });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    processes?.close();
    const also = reasons.length === 0 ? '' : ` eBPF is not possible either: ${reasons.join('; ')}.`;
    throw new OperatorError(3, `Callers cannot be found: ${why}.${also} Run the agent as root.`, {
      cause: error,
    });
  }
}

/**
 * Warns if /proc belongs to another pid namespace than the pids of the kernel: then they name wrong processes
 * or none.
 */
function warnOfOtherPidNamespace(log: OpenAttributorOptions['log']): void {
  if (statSync('/proc/self/ns/pid').ino === INITIAL_PID_NAMESPACE_INODE) return;
  log.warn(
    "The agent runs in a pid namespace of its own: the kernel reports pids of the host, but /proc shows other processes here. Share the host's pid namespace (docker run --pid=host; hostPID: true).",
  );
}
