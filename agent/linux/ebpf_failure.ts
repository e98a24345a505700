/**
 * Explains why the kernel refused our eBPF program, in a text that an operator can act on. libbpf.ts gathers
 * the evidence; this file only judges it.
 */

export type BpfFailureKind =
  | 'libbpf_missing'
  | 'object_missing'
  | 'no_btf'
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

/** Returns the capabilities that are missing for loading a tracing program; CAP_SYS_ADMIN alone is enough. */
export function missingCapabilities(effective: bigint): string[] {
  const has = (bit: bigint) => ((effective >> bit) & 1n) === 1n;
  if (has(CAP_SYS_ADMIN_BIT)) return [];
  const missing: string[] = [];
  if (!has(CAP_BPF_BIT)) missing.push('CAP_BPF');
  if (!has(CAP_PERFMON_BIT)) missing.push('CAP_PERFMON');
  return missing;
}

/**
 * Returns whether a kernel is older than 5.8, which brought ring buffers. Some vendors have backported them.
 */
function isOlderThan58(release: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return major !== undefined && (Number(major) < 5 || (Number(major) === 5 && Number(minor) < 8));
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
  if (isOlderThan58(kernelRelease)) {
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
