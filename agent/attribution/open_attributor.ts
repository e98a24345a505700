/** Opens the best attributor that this host allows, and logs once why it is not the exact one. */
import { statSync } from 'node:fs';
import type { Logger } from 'pino';
import { OperatorError } from '../../common/operator_error.ts';
import type { EndpointService } from '../../protocol/endpoints.ts';
import { BpfUnavailable } from '../linux/ebpf_failure.ts';
import type { Attributor } from './attributor.ts';
import { EbpfAttributor } from './ebpf.ts';
import { SockDiagAttributor } from './sock_diag.ts';

export type AttributionMode = 'auto' | 'ebpf' | 'proc';

export interface OpenAttributorOptions {
  /**
   * `auto`: eBPF if the host allows it, else sock_diag. `ebpf`: eBPF or an error. `proc`: sock_diag with
   * /proc.
   */
  mode: AttributionMode;
  /** Endpoints to report on. Defaults to the instance metadata service only. */
  endpoints?: readonly EndpointService[];
  log: Pick<Logger, 'debug' | 'info' | 'warn'>;
  /** Called when `auto` cannot use eBPF, after the warning and before sock_diag is opened. */
  onFallback?: () => void;
}

export interface OpenedAttributor {
  attributor: Attributor;
  /** The reason why eBPF is not used; null if it is used. */
  reason: string | null;
}

/** Inode number of the initial pid namespace (PROC_PID_INIT_INO in include/linux/proc_ns.h). */
const INITIAL_PID_NAMESPACE_INODE = 0xeffffffc;

/**
 * Opens the attributor of a mode.
 * @throws OperatorError with exit code 3 if this host does not allow the mode.
 */
export function openAttributor(options: OpenAttributorOptions): OpenedAttributor {
  const { mode, log } = options;
  if (mode === 'proc') {
    return { attributor: openSockDiag(log, null), reason: 'eBPF is turned off by the configuration' };
  }
  try {
    const fallback = openFallback(log);
    let attributor: EbpfAttributor;
    try {
      attributor = EbpfAttributor.open({
        endpoints: options.endpoints ?? ['imds'],
        ...(fallback === null ? {} : { fallback }),
      });
    } catch (error) {
      fallback?.close();
      throw error;
    }
    warnOfOtherPidNamespace(log);
    return { attributor, reason: null };
  } catch (error) {
    if (!(error instanceof BpfUnavailable)) throw error;
    if (error.libbpfLog !== '') log.debug({ libbpf: error.libbpfLog }, 'output of libbpf');
    if (mode === 'ebpf') {
      throw new OperatorError(
        3,
        `Exact attribution (eBPF) is not possible: ${error.message}. Remove the cause, or set attribution to "auto".`,
        { cause: error },
      );
    }
    log.warn(
      `Exact attribution (eBPF) is not possible: ${error.message}. Callers are looked up with sock_diag and /proc instead: those that live for only a few milliseconds may stay unknown.`,
    );
    options.onFallback?.();
    return { attributor: openSockDiag(log, error.message), reason: error.message };
  }
}

/** Opens the attributor for connections that are older than the agent; eBPF works without it. */
function openFallback(log: OpenAttributorOptions['log']): Attributor | null {
  try {
    return SockDiagAttributor.open({ threadNice: null });
  } catch (error) {
    log.info(
      `The callers of connections that are older than the agent stay unknown: ${error instanceof Error ? error.message : error}`,
    );
    return null;
  }
}

function openSockDiag(log: OpenAttributorOptions['log'], ebpfReason: string | null): Attributor {
  try {
    return SockDiagAttributor.open({ log: { warn: (message) => log.warn(message) } });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const also = ebpfReason === null ? '' : ` eBPF is not possible either: ${ebpfReason}.`;
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
