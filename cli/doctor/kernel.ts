/** The kernel's version and its type information, on which exact attribution stands. */
import { accessSync, constants } from 'node:fs';
import { arch, release } from 'node:os';
import { type AgentSide, type Check, type Finding, ok, warn } from './check.ts';

const BTF = '/sys/kernel/btf/vmlinux';

/** BPF ring buffers came with 5.8; some vendors carry them back. */
function isOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return major < 5 || (major === 5 && minor < 8);
}

export const kernel: Check<AgentSide> = {
  name: 'kernel',
  applies: () => true,
  examine() {
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
  const which = `Linux ${version} on ${arch()}`;
  if (!hasBtf) {
    return warn(
      `${which} without type information at ${BTF}`,
      'Callers are found by /proc then, and those that live for milliseconds may stay unnamed. Use a kernel with CONFIG_DEBUG_INFO_BTF; in a container, mount /sys.',
    );
  }
  if (!isOld(version)) return ok(`${which}, with type information`);
  return warn(
    `${which} is older than 5.8, which brought what exact attribution needs`,
    'Use a newer kernel (Amazon Linux 2: amazon-linux-extras install kernel-5.10).',
  );
}
