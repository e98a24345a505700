/**
 * Why the kernel would not take our eBPF program, in words that an operator can act on. Pure: the evidence is
 * gathered by libbpf.ts, the judgement is made here.
 */

export type BpfFailureKind =
  | 'libbpf_missing'
  | 'object_missing'
  | 'no_btf'
  | 'kernel_too_old'
  | 'not_permitted'
  | 'locked_down'
  | 'failed';

/** eBPF cannot be used here. `message` is one whole sentence (or two); `libbpfLog` is for the debug level. */
export class BpfUnavailable extends Error {
  readonly kind: BpfFailureKind;
  /** What libbpf and the kernel's verifier printed, bounded; empty when they said nothing. */
  readonly libbpfLog: string;
  constructor(kind: BpfFailureKind, message: string, libbpfLog = '', options?: ErrorOptions) {
    super(message, options);
    this.name = 'BpfUnavailable';
    this.kind = kind;
    this.libbpfLog = libbpfLog;
  }
}

export interface BpfFailureEvidence {
  /** Which step failed: `open`, `load`, `attach`, `map` (the ring buffer). */
  step: string;
  /** Positive errno of that step. */
  errno: number;
  /** `uname -r`. */
  kernelRelease: string;
  /** Whether /sys/kernel/btf/vmlinux can be read. */
  hasBtf: boolean;
  /** CapEff of /proc/self/status; null when it could not be read. */
  effectiveCapabilities: bigint | null;
  /** /sys/kernel/security/lockdown; null when there is no such file. */
  lockdown: string | null;
}

// include/uapi/linux/capability.h
const CAP_SYS_ADMIN_BIT = 21n;
const CAP_PERFMON_BIT = 38n;
const CAP_BPF_BIT = 39n;
const EPERM = 1;

/** Capabilities that are missing for loading a tracing program: none when CAP_SYS_ADMIN, or both others, are held. */
export function missingCapabilities(effective: bigint): string[] {
  const has = (bit: bigint) => ((effective >> bit) & 1n) === 1n;
  if (has(CAP_SYS_ADMIN_BIT)) return [];
  const missing: string[] = [];
  if (!has(CAP_BPF_BIT)) missing.push('CAP_BPF');
  if (!has(CAP_PERFMON_BIT)) missing.push('CAP_PERFMON');
  return missing;
}

/** Ring buffers and the timestamps of processes that we read came with Linux 5.8; some vendors carry them back. */
function olderThan58(release: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return major !== undefined && (Number(major) < 5 || (Number(major) === 5 && Number(minor) < 8));
}

export function judgeBpfFailure(evidence: BpfFailureEvidence): { kind: BpfFailureKind; message: string } {
  const { step, errno, kernelRelease, effectiveCapabilities } = evidence;
  if (!evidence.hasBtf) {
    return {
      kind: 'no_btf',
      message: `the kernel (${kernelRelease}) offers no type information at /sys/kernel/btf/vmlinux (built without CONFIG_DEBUG_INFO_BTF, or /sys is not mounted here)`,
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
  if (olderThan58(kernelRelease)) {
    return { kind: 'kernel_too_old', message: `Linux ${kernelRelease} is too old: 5.8 or later is needed` };
  }
  if (errno === EPERM) {
    return {
      kind: 'not_permitted',
      message: `the kernel refused to ${step} the eBPF program (EPERM) although the capabilities are held: a seccomp profile, a security module or the locked-memory limit (ulimit -l) stands in the way`,
    };
  }
  return {
    kind: 'failed',
    message: `the eBPF program could not be brought up at step "${step}" (errno ${errno}) on Linux ${kernelRelease}`,
  };
}
