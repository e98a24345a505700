/** Tells which capabilities this kernel asks for eBPF and samples, and how the unit gets them. */
import { readFileSync } from 'node:fs';

/** include/uapi/linux/capability.h: CAP_BPF, the later one of the two that Linux 5.8 split off from CAP_SYS_ADMIN. */
const CAP_BPF = 39;

/** The command that fits the unit to the kernel. */
export const FIT_UNIT =
  'sudo dpkg-reconfigure imdswatch (Red Hat and Amazon Linux: sudo dnf reinstall imdswatch) adds kernel-before-5.8.conf to the unit. Before systemd 229: add CAP_SYS_ADMIN to CapabilityBoundingSet= in a copy of the unit. Containers: --cap-add=SYS_ADMIN.';

/**
 * Returns whether the kernel has CAP_BPF and CAP_PERFMON.
 * @param lastCapability the content of /proc/sys/kernel/cap_last_cap: the number of the kernel's last capability.
 */
export function hasSplitCapabilities(
  lastCapability = readFileSync('/proc/sys/kernel/cap_last_cap', 'latin1'),
): boolean {
  return Number(lastCapability) >= CAP_BPF;
}
