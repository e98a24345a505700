/** Chooses the way to find owners that this host allows, and says once why it is not the best one. */
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
  /** `auto`: eBPF where the host allows it, else sock_diag. `ebpf`: eBPF or an error. `proc`: sock_diag with /proc. */
  mode: AttributionMode;
  /** Whose connections are reported and counted; the instance metadata service's unless given. */
  endpoints?: readonly EndpointService[];
  log: Pick<Logger, 'debug' | 'info' | 'warn'>;
}

export interface OpenedAttributor {
  attributor: Attributor;
  /** Why not eBPF; null when it is eBPF. */
  reason: string | null;
}

/** Inode number of the initial pid namespace: PROC_PID_INIT_INO of include/linux/proc_ns.h. */
const INITIAL_PID_NAMESPACE_INODE = 0xeffffffc;

/** @throws OperatorError with exit code 3 when `mode` asks for what this host does not allow. */
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
    warnOfPidNamespace(log);
    return { attributor, reason: null };
  } catch (error) {
    if (!(error instanceof BpfUnavailable)) throw error;
    if (error.libbpfLog !== '') log.debug({ libbpf: error.libbpfLog }, 'what libbpf said');
    if (mode === 'ebpf') {
      throw new OperatorError(
        3,
        `Exact attribution (eBPF) is not possible: ${error.message}. Remove the cause, or let the agent choose with "auto".`,
        { cause: error },
      );
    }
    log.warn(
      `Exact attribution (eBPF) is not possible: ${error.message}. Owners are looked up with sock_diag and /proc instead: callers that live for a few milliseconds may stay unnamed.`,
    );
    return { attributor: openSockDiag(log, error.message), reason: error.message };
  }
}

/** For connections older than we are; eBPF works without it. */
function openFallback(log: OpenAttributorOptions['log']): Attributor | null {
  try {
    return SockDiagAttributor.open({ threadNice: null });
  } catch (error) {
    log.info(
      `Connections that began before the agent did will stay without owner: ${error instanceof Error ? error.message : error}`,
    );
    return null;
  }
}

function openSockDiag(log: OpenAttributorOptions['log'], ebpfReason: string | null): Attributor {
  try {
    return SockDiagAttributor.open({ log: { warn: (message) => log.warn(message) } });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const also = ebpfReason === null ? '' : ` Nor is eBPF possible: ${ebpfReason}.`;
    throw new OperatorError(
      3,
      `Owners of connections cannot be found: ${why}.${also} Run the agent as root.`,
      {
        cause: error,
      },
    );
  }
}

/** The kernel reports pids of the initial pid namespace; with another one's /proc they name nobody or the wrong one. */
function warnOfPidNamespace(log: OpenAttributorOptions['log']): void {
  if (statSync('/proc/self/ns/pid').ino === INITIAL_PID_NAMESPACE_INODE) return;
  log.warn(
    "The agent runs in a pid namespace of its own: pids are those of the host, and what /proc says here is about other processes. Share the host's (docker run --pid=host; hostPID: true).",
  );
}
