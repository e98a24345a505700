/**
 * Checks by which eBPF program callers can be found. It loads the programs for a moment: the first one, and where that is
 * refused the one on a tracepoint. Where that is refused, too, or not wanted, it takes samples of that tracepoint.
 */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { ConnectionSamples } from '../../agent/attribution/connection_samples.ts';
import { EbpfAttributor } from '../../agent/attribution/ebpf.ts';
import { ProcessWatch } from '../../agent/attribution/process_watch.ts';
import { TracepointProbe } from '../../agent/attribution/tracepoint_probe.ts';
import { BpfUnavailable, missingCapabilities } from '../../agent/linux/ebpf_failure.ts';
import { NetlinkRefused } from '../../agent/linux/netlink_socket.ts';
import type { EndpointService } from '../../protocol/endpoints.ts';
import { type AgentSide, AS_ROOT, type Check, type Finding, fail, ok, skip, warn } from './check.ts';
import { FIT_UNIT, hasSplitCapabilities } from './kernel_capabilities.ts';

const REMEDIES: Record<BpfUnavailable['kind'], string> = {
  libbpf_missing: 'Install libbpf (Debian, Ubuntu: libbpf1; Amazon Linux, Fedora: libbpf).',
  object_missing: 'A file of the installation is missing: install the package again.',
  no_btf: 'Use a kernel with CONFIG_DEBUG_INFO_BTF; in a container, mount /sys.',
  no_tracefs:
    'Mount tracefs (mount -t tracefs tracefs /sys/kernel/tracing); in a container, mount /sys/kernel/tracing of the host.',
  kernel_too_old: 'Use a newer kernel.',
  not_permitted:
    'Give the agent CAP_BPF and CAP_PERFMON (systemd: AmbientCapabilities; containers: --cap-add=BPF --cap-add=PERFMON, or SYS_ADMIN on older runtimes) and a seccomp profile that allows bpf(2).',
  locked_down: 'Boot with lockdown=integrity. Otherwise callers are found by /proc, which is less exact.',
  failed: 'Read the messages of libbpf: imdswatch watch --attribution ebpf --log-level debug.',
};

/** Returns what to do about a refusal: a kernel without CAP_BPF and CAP_PERFMON asks for another capability. */
function remedyFor(kind: BpfUnavailable['kind']): string {
  const isOtherCapability = kind === 'not_permitted' && !hasSplitCapabilities();
  return isOtherCapability ? `Give the agent CAP_SYS_ADMIN: ${FIT_UNIT}` : REMEDIES[kind];
}

export const ebpf: Check<AgentSide> = {
  name: 'eBPF',
  applies: () => true,
  run({ settings, capabilities, running }) {
    const { attribution, endpoints } = settings;
    const method = running.state?.heartbeat.attribution.method;
    if (attribution === 'proc' && capabilities === 0n) return [skip('the setting attribution is proc')];
    if (missingCapabilities(capabilities).length > 0 && capabilities === 0n) {
      return [
        running.isRunning === true && method === 'ebpf'
          ? ok('the running agent finds callers by eBPF')
          : skip('loading the eBPF program needs root', AS_ROOT),
      ];
    }
    if (attribution === 'proc') {
      return [skip('the setting attribution is proc'), samples(endpoints), processEvents()];
    }
    const isDemanded = attribution !== 'auto';
    const failOrWarn: (text: string, remedy: string) => Finding = isDemanded ? fail : warn;
    const findings: Finding[] = [];
    if (attribution !== 'tracepoint') {
      const refusal = refusalOf(() => EbpfAttributor.open({ endpoints }).close());
      if (refusal === null)
        return [ok('the eBPF program was loaded and attached: callers are found exactly')];
      findings.push(failOrWarn(`${refusal.message}${circumstances()}`, remedyFor(refusal.kind)));
      if (isDemanded) return findings;
    }
    const refusal = refusalOf(() => TracepointProbe.open(endpoints).close());
    findings.push(
      refusal === null
        ? ok(
            'the eBPF program on a tracepoint was loaded and attached: callers are found exactly; connections are not counted',
          )
        : failOrWarn(`tracepoint: ${refusal.message}`, remedyFor(refusal.kind)),
    );
    if (refusal !== null && attribution === 'auto') findings.push(samples(endpoints));
    return [...findings, processEvents()];
  },
};

/** Examines the samples by which callers are known that end before /proc shows them. They need process events, too. */
function samples(endpoints: readonly EndpointService[]): Finding {
  const refusal = refusalOf(() => ConnectionSamples.open(endpoints).close());
  return refusal === null
    ? ok('the kernel gives samples of connections: callers are named that have ended before /proc is read')
    : warn(
        `${refusal.message}: callers that end at once may stay unknown`,
        `Use Linux 4.16 or later with tracefs, and give the agent ${hasSplitCapabilities() ? 'CAP_PERFMON' : `CAP_SYS_ADMIN: ${FIT_UNIT}`}`,
      );
}

/** Examines the events by which callers are known that have ended. Where the first program is used they are not needed. */
function processEvents(): Finding {
  try {
    const watch = ProcessWatch.open();
    watch.close();
    return ok(`the kernel reports which programs run (${watch.source}): callers that have ended are known`);
  } catch (error) {
    if (!(error instanceof NetlinkRefused)) throw error;
    return warn(
      `${error.message}: callers that end at once may stay unknown`,
      `Mount tracefs at /sys/kernel/tracing, and give the agent the host's pid namespace and ${hasSplitCapabilities() ? 'CAP_PERFMON' : `CAP_SYS_ADMIN: ${FIT_UNIT}`}`,
    );
  }
}

function refusalOf(open: () => void): BpfUnavailable | null {
  try {
    open();
    return null;
  } catch (error) {
    if (error instanceof BpfUnavailable) return error;
    throw error;
  }
}

/** Returns facts about the kernel that may explain why loading failed. */
function circumstances(): string {
  const facts: string[] = [];
  const unprivileged = line('/proc/sys/kernel/unprivileged_bpf_disabled');
  if (unprivileged !== null) facts.push(`kernel.unprivileged_bpf_disabled=${unprivileged}`);
  const modules = line('/sys/kernel/security/lsm');
  if (modules !== null) facts.push(`security modules: ${modules}`);
  const lockdown = /\[(\w+)\]/.exec(line('/sys/kernel/security/lockdown') ?? '')?.[1];
  if (lockdown !== undefined) facts.push(`lockdown: ${lockdown}`);
  const status = file('/proc/self/status') ?? '';
  if (/^Seccomp:\s*2$/m.test(status)) facts.push('a seccomp filter is active');
  // Since Linux 5.11 the memory of eBPF counts against the cgroup and not against the limit on locked memory.
  const [major = 0, minor = 0] = release()
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  const limit = /^Max locked memory\s+(\S+)/m.exec(file('/proc/self/limits') ?? '')?.[1];
  if (major < 5 || (major === 5 && minor < 11)) facts.push(`limit on locked memory ${limit ?? 'unknown'}`);
  return facts.length === 0 ? '' : ` (${facts.join(', ')})`;
}

function line(path: string): string | null {
  return file(path)?.trim() ?? null;
}

function file(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null; // this kernel does not have the file
  }
}
