/** Checks the kernel's version and its type information (BTF), on which the way to find callers depends. */
import { accessSync, constants } from 'node:fs';
import { arch, release } from 'node:os';
import { isOlderThan } from '../../agent/linux/ebpf_failure.ts';
import { type AgentSide, type Check, type Finding, ok, warn } from './check.ts';

const BTF = '/sys/kernel/btf/vmlinux';

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
  if (isOlderThan(version, 4, 16)) {
    return warn(
      `${kernelName} is older than 4.16, the first version on which callers can be found exactly`,
      'Callers are found by /proc, and a caller that lives only for milliseconds may stay unknown. Use a newer kernel (Amazon Linux 2: amazon-linux-extras install kernel-5.10).',
    );
  }
  const remedy =
    'Callers are found by the program on a tracepoint then, if the check "eBPF" says so: connections are not counted. Use';
  if (!hasBtf) {
    return warn(
      `${kernelName} without type information at ${BTF}`,
      `${remedy} a kernel with CONFIG_DEBUG_INFO_BTF; in a container, mount /sys.`,
    );
  }
  // Some vendors backport ring buffers.
  if (!isOlderThan(version, 5, 8)) return ok(`${kernelName}, with type information`);
  return warn(
    `${kernelName} is older than 5.8, the first version with BPF ring buffers, which the first eBPF program needs`,
    `${remedy} a newer kernel (Amazon Linux 2: amazon-linux-extras install kernel-5.10).`,
  );
}
