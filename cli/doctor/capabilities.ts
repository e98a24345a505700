/** Which capabilities the agent has: the running one's, else what this process would give it. */
import { effectiveCapabilities } from '../../agent/linux/capabilities.ts';
import { type AgentSide, AS_ROOT, type Check, type Finding, fail, ok, skip, warn } from './check.ts';

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
  examine({ running, capabilities: own }) {
    const theirs = running.pid === null ? null : effectiveCapabilities(running.pid);
    if (theirs === null && own === 0n) {
      return [skip('no agent runs that could be looked at, and this user has none', AS_ROOT)];
    }
    const whose = theirs === null ? 'this process has' : `the running agent (pid ${running.pid}) has`;
    return judge(theirs ?? own, whose);
  },
};

function judge(held: bigint, whose: string): Finding[] {
  const has = (name: keyof typeof BITS) => ((held >> BITS[name]) & 1n) === 1n;
  const found: Finding[] = [];
  const give = (name: string) =>
    `Give it (systemd: AmbientCapabilities=${name}; containers: --cap-add=${name.replace('CAP_', '')}).`;
  if (!has('CAP_NET_RAW'))
    found.push(fail(`${whose} no CAP_NET_RAW: nothing can be captured`, give('CAP_NET_RAW')));
  if (!has('CAP_SYS_ADMIN') && !(has('CAP_BPF') && has('CAP_PERFMON'))) {
    found.push(
      warn(`${whose} no CAP_BPF with CAP_PERFMON: no exact attribution`, give('CAP_BPF CAP_PERFMON')),
    );
  }
  if (!has('CAP_SYS_PTRACE')) {
    found.push(
      warn(
        `${whose} no CAP_SYS_PTRACE: processes of other users stay without executable`,
        give('CAP_SYS_PTRACE'),
      ),
    );
  }
  if (found.length > 0) return found;
  const others = has('CAP_SYS_ADMIN')
    ? ''
    : '; without CAP_SYS_ADMIN no capture inside other network namespaces';
  const here = (Object.keys(BITS) as (keyof typeof BITS)[])
    .filter(has)
    .map((name) => name.replace('CAP_', ''));
  return [ok(`${whose} ${here.join(', ')}${others}`)];
}
