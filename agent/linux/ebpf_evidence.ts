/** Gathers what may explain why the kernel refused an eBPF program. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { effectiveCapabilities } from './capabilities.ts';
import type { BpfFailureEvidence } from './ebpf_failure.ts';

export function evidenceOf(step: string, errno: number): BpfFailureEvidence {
  let hasBtf = true;
  try {
    accessSync('/sys/kernel/btf/vmlinux', constants.R_OK);
  } catch {
    hasBtf = false;
  }
  return {
    ...{ step, errno, kernelRelease: release(), hasBtf },
    effectiveCapabilities: effectiveCapabilities('self'),
    lockdown: readOrNull('/sys/kernel/security/lockdown'),
  };
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
