/**
 * Checks the capabilities of the running agent; without one, those that this process would pass to an agent.
 */
import { effectiveCapabilities } from '../../agent/linux/capabilities.ts';
import { type AgentSide, AS_ROOT, type Check, type Finding, fail, ok, skip, warn } from './check.ts';
import { FIT_UNIT, hasSplitCapabilities } from './kernel_capabilities.ts';

// include/uapi/linux/capability.h
const BITS = {
  CAP_DAC_READ_SEARCH: 2n,
  CAP_NET_RAW: 13n,
  CAP_SYS_PTRACE: 19n,
  CAP_SYS_ADMIN: 21n,
  CAP_PERFMON: 38n,
  CAP_BPF: 39n,
};

export const capabilities: Check<AgentSide> = {
  name: 'capabilities',
  applies: () => true,
  run({ running, capabilities: ownCapabilities }) {
    const agentCapabilities = running.pid === null ? null : effectiveCapabilities(running.pid);
    if (agentCapabilities === null && ownCapabilities === 0n) {
      return [skip('no readable agent process was found, and this user has no capabilities', AS_ROOT)];
    }
    const subject =
      agentCapabilities === null ? 'this process has' : `the running agent (pid ${running.pid}) has`;
    return judgeCapabilities(agentCapabilities ?? ownCapabilities, subject, hasSplitCapabilities());
  },
};

/**
 * @param held capabilities as a bit set.
 * @param isSplit whether the kernel has CAP_BPF and CAP_PERFMON.
 */
export function judgeCapabilities(held: bigint, subject: string, isSplit: boolean): Finding[] {
  const has = (name: keyof typeof BITS) => ((held >> BITS[name]) & 1n) === 1n;
  const findings: Finding[] = [];
  const addRemedy = (name: string) =>
    `Add it (systemd: AmbientCapabilities=${name}; containers: --cap-add=${name.replace('CAP_', '')}).`;
  if (!has('CAP_NET_RAW'))
    findings.push(fail(`${subject} no CAP_NET_RAW: it cannot capture packets`, addRemedy('CAP_NET_RAW')));
  if (!has('CAP_SYS_ADMIN') && !(has('CAP_BPF') && has('CAP_PERFMON'))) {
    const missing = isSplit ? 'CAP_BPF and CAP_PERFMON' : 'CAP_SYS_ADMIN';
    const kernel = isSplit
      ? ''
      : ', which this kernel (before 5.8) asks for instead of CAP_BPF and CAP_PERFMON';
    findings.push(
      warn(
        `${subject} no ${missing}${kernel}: callers cannot be found exactly (by eBPF), and those that end at once may stay unknown`,
        isSplit
          ? `${addRemedy('CAP_BPF CAP_PERFMON')} systemd before 246 has no names for these: add CAP_SYS_ADMIN there.`
          : FIT_UNIT,
      ),
    );
  }
  if (!has('CAP_SYS_PTRACE')) {
    findings.push(
      warn(
        `${subject} no CAP_SYS_PTRACE: the executable of other users' processes stays unknown`,
        addRemedy('CAP_SYS_PTRACE'),
      ),
    );
  }
  if (findings.length > 0) return findings;
  const others = has('CAP_SYS_ADMIN')
    ? ''
    : '; without CAP_SYS_ADMIN it cannot capture in other network namespaces';
  const here = (Object.keys(BITS) as (keyof typeof BITS)[])
    .filter(has)
    .map((name) => name.replace('CAP_', ''));
  return [ok(`${subject} ${here.join(', ')}${others}`)];
}
