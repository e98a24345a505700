/**
 * Explains why the kernel refused our eBPF programs, in a text that an operator can act on. ebpf_evidence.ts gathers
 * the evidence; this file only judges it.
 */

export type BpfFailureKind =
  | 'libbpf_missing'
  | 'object_missing'
  | 'no_btf'
  | 'no_tracefs'
  | 'kernel_too_old'
  | 'not_permitted'
  | 'locked_down'
  | 'failed';

/** Thrown if eBPF cannot be used here. `message` states the reason; `libbpfLog` is for the debug level. */
export class BpfUnavailable extends Error {
  readonly kind: BpfFailureKind;
  /** The output of libbpf and the kernel's verifier, bounded; empty if they printed nothing. */
  readonly libbpfLog: string;
  constructor(kind: BpfFailureKind, message: string, libbpfLog = '', options?: ErrorOptions) {
    super(message, options);
    this.name = 'BpfUnavailable';
    this.kind = kind;
    this.libbpfLog = libbpfLog;
  }
}

export interface BpfFailureEvidence {
  /** The step that failed: `open`, `load`, `attach` or `map` (the ring buffer). */
  step: string;
  /** The errno of that step, positive. */
  errno: number;
  /** The output of `uname -r`. */
  kernelRelease: string;
  /** States whether /sys/kernel/btf/vmlinux can be read. */
  hasBtf: boolean;
  /** CapEff of /proc/self/status; null if it could not be read. */
  effectiveCapabilities: bigint | null;
  /** The content of /sys/kernel/security/lockdown; null if there is no such file. */
  lockdown: string | null;
}

// include/uapi/linux/capability.h
const CAP_SYS_ADMIN_BIT = 21n;
const CAP_PERFMON_BIT = 38n;
const CAP_BPF_BIT = 39n;
const EPERM = 1;
const EACCES = 13;

/** Returns the capabilities that are missing for loading a tracing program; CAP_SYS_ADMIN alone is enough. */
export function missingCapabilities(effective: bigint): string[] {
  const has = (bit: bigint) => ((effective >> bit) & 1n) === 1n;
  if (has(CAP_SYS_ADMIN_BIT)) return [];
  const missing: string[] = [];
  if (!has(CAP_BPF_BIT)) missing.push('CAP_BPF');
  if (!has(CAP_PERFMON_BIT)) missing.push('CAP_PERFMON');
  return missing;
}

/** Returns whether the output of `uname -r` is of a kernel before a release; false if it has an unknown form. */
export function isOlderThan(release: string, major: number, minor: number): boolean {
  const [, itsMajor, itsMinor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  if (itsMajor === undefined) return false;
  return Number(itsMajor) < major || (Number(itsMajor) === major && Number(itsMinor) < minor);
}

/** Returns the kind of the failure, and a message with the reason. */
export function judgeBpfFailure(evidence: BpfFailureEvidence): { kind: BpfFailureKind; message: string } {
  const { step, errno, kernelRelease, effectiveCapabilities } = evidence;
  if (!evidence.hasBtf) {
    return {
      kind: 'no_btf',
      message: `the kernel (${kernelRelease}) has no type information at /sys/kernel/btf/vmlinux (it was built without CONFIG_DEBUG_INFO_BTF, or /sys is not mounted here)`,
    };
  }
  const missing = effectiveCapabilities === null ? [] : missingCapabilities(effectiveCapabilities);
  if (missing.length > 0) {
    return {
      kind: 'not_permitted',
      message: `loading an eBPF program is not permitted: ${missing.join(' and ')} missing (CAP_BPF with CAP_PERFMON, or CAP_SYS_ADMIN, are needed)`,
    };
  }
  if (evidence.lockdown?.includes('[confidentiality]')) {
    return {
      kind: 'locked_down',
      message:
        'the kernel is locked down (confidentiality mode, /sys/kernel/security/lockdown), which keeps eBPF programs from reading kernel memory',
    };
  }
  // Linux 5.8 brought ring buffers. Some vendors have backported them.
  if (isOlderThan(kernelRelease, 5, 8)) {
    return { kind: 'kernel_too_old', message: `Linux ${kernelRelease} is too old: 5.8 or later is needed` };
  }
  if (errno === EPERM) {
    return {
      kind: 'not_permitted',
      message: `the kernel refused to ${step} the eBPF program (EPERM) although the process has the capabilities: a seccomp profile, a security module or the locked-memory limit (ulimit -l) prevents it`,
    };
  }
  return {
    kind: 'failed',
    message: `the eBPF program could not be started: step "${step}" failed (errno ${errno}) on Linux ${kernelRelease}`,
  };
}

/**
 * Returns the same for the program on an ordinary tracepoint, which needs no type information and no ring buffer. Its
 * steps are `load`, `attach` and `map` (maps and perf buffers).
 */
export function judgeTracepointFailure(evidence: BpfFailureEvidence): {
  kind: BpfFailureKind;
  message: string;
} {
  const { step, errno, kernelRelease, effectiveCapabilities } = evidence;
  const missing = effectiveCapabilities === null ? [] : missingCapabilities(effectiveCapabilities);
  if (missing.length > 0) {
    const isSplit = !isOlderThan(kernelRelease, 5, 8);
    return {
      kind: 'not_permitted',
      message: isSplit
        ? `loading an eBPF program is not permitted: ${missing.join(' and ')} missing`
        : `loading an eBPF program is not permitted: CAP_SYS_ADMIN missing (Linux ${kernelRelease} has no CAP_BPF)`,
    };
  }
  if (errno === EPERM || errno === EACCES) {
    const lockdown = /\[(\w+)\]/.exec(evidence.lockdown ?? '')?.[1];
    const isLocked = lockdown !== undefined && lockdown !== 'none';
    return {
      kind: isLocked ? 'locked_down' : 'not_permitted',
      message: `the kernel refused to ${step} the tracepoint program (${errno === EPERM ? 'EPERM' : 'EACCES'}): ${isLocked ? `it is locked down (${lockdown} mode)` : 'a seccomp profile, a security module, kernel.perf_event_paranoid or the locked-memory limit (ulimit -l) prevents it'}`,
    };
  }
  return {
    kind: 'failed',
    message: `the tracepoint program could not be started: step "${step}" failed (errno ${errno}) on Linux ${kernelRelease}`,
  };
}
