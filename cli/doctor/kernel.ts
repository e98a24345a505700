/** Checks the kernel's version and its type information (BTF), which exact attribution needs. */
import { accessSync, constants } from 'node:fs';
import { arch, release } from 'node:os';
import { type AgentSide, type Check, type Finding, ok, warn } from './check.ts';

const BTF = '/sys/kernel/btf/vmlinux';

/**
 * Tells whether the kernel is older than 5.8, which has the first BPF ring buffers. Some vendors backport
 * them.
 */
function isOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return major < 5 || (major === 5 && minor < 8);
}

export const kernel: Check<AgentSide> = {
  name: 'kernel',
  applies: () => true,
  run() {
    let hasBtf = true;
    try {
      accessSync(BTF, constants.R_OK);
    } catch {
      hasBtf = false;
    }
    return [judgeKernel(release(), hasBtf)];
  },
};

export function judgeKernel(version: string, hasBtf: boolean): Finding {
  const kernelName = `Linux ${version} on ${arch()}`;
  if (!hasBtf) {
    return warn(
      `${kernelName} without type information at ${BTF}`,
      'Callers are found by /proc then, and a caller that lives only for milliseconds may stay unknown. Use a kernel with CONFIG_DEBUG_INFO_BTF; in a container, mount /sys.',
    );
  }
  if (!isOld(version)) return ok(`${kernelName}, with type information`);
  return warn(
    `${kernelName} is older than 5.8, the first version with BPF ring buffers, which exact attribution needs`,
    'Use a newer kernel (Amazon Linux 2: amazon-linux-extras install kernel-5.10).',
  );
}
