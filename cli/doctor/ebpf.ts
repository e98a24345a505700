/** Checks whether the eBPF program can be loaded: by loading it, for a moment. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { EbpfAttributor } from '../../agent/attribution/ebpf.ts';
import { BpfUnavailable, missingCapabilities } from '../../agent/linux/ebpf_failure.ts';
import { type AgentSide, AS_ROOT, type Check, type Finding, fail, ok, skip, warn } from './check.ts';

const REMEDIES: Record<BpfUnavailable['kind'], string> = {
  libbpf_missing: 'Install libbpf (Debian, Ubuntu: libbpf1; Amazon Linux, Fedora: libbpf).',
  object_missing: 'The installation is not whole: install the package again.',
  no_btf: 'Use a kernel with CONFIG_DEBUG_INFO_BTF; in a container, mount /sys.',
  kernel_too_old: 'Use Linux 5.8 or newer.',
  not_permitted:
    'Give the agent CAP_BPF and CAP_PERFMON (systemd: AmbientCapabilities; containers: --cap-add=BPF --cap-add=PERFMON, or SYS_ADMIN on older runtimes) and a seccomp profile that lets bpf(2) through.',
  locked_down: 'Boot with lockdown=integrity, or live with attribution by /proc.',
  failed: 'Look at what libbpf says: imdswatch watch --attribution ebpf --log-level debug.',
};

export const ebpf: Check<AgentSide> = {
  name: 'eBPF',
  applies: () => true,
  examine({ settings, capabilities, running }) {
    if (settings.attribution === 'proc') return [skip('attribution is set to proc')];
    const method = running.state?.heartbeat.attribution.method;
    if (missingCapabilities(capabilities).length > 0 && capabilities === 0n) {
      return [
        running.isRunning === true && method === 'ebpf'
          ? ok('the running agent attributes by eBPF')
          : skip('loading a program needs root', AS_ROOT),
      ];
    }
    try {
      EbpfAttributor.open({ endpoints: settings.endpoints }).close();
      return [ok('the program was loaded and attached: callers are found exactly')];
    } catch (error) {
      if (!(error instanceof BpfUnavailable)) throw error;
      const text = `${error.message}${circumstances()}`;
      const unavoidable: (text: string, remedy: string) => Finding =
        settings.attribution === 'ebpf' ? fail : warn;
      return [unavoidable(text, REMEDIES[error.kind])];
    }
  },
};

/** Other possible reasons for the refusal. */
function circumstances(): string {
  const said: string[] = [];
  const unprivileged = line('/proc/sys/kernel/unprivileged_bpf_disabled');
  if (unprivileged !== null) said.push(`kernel.unprivileged_bpf_disabled=${unprivileged}`);
  const modules = line('/sys/kernel/security/lsm');
  if (modules !== null) said.push(`security modules ${modules}`);
  const lockdown = /\[(\w+)\]/.exec(line('/sys/kernel/security/lockdown') ?? '')?.[1];
  if (lockdown !== undefined) said.push(`lockdown ${lockdown}`);
  const status = file('/proc/self/status') ?? '';
  if (/^Seccomp:\s*2$/m.test(status)) said.push('a seccomp filter is in force');
  // Since 5.11 memory of eBPF counts for the cgroup and not for the limit on locked memory.
  const [major = 0, minor = 0] = release()
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  const limit = /^Max locked memory\s+(\S+)/m.exec(file('/proc/self/limits') ?? '')?.[1];
  if (major < 5 || (major === 5 && minor < 11)) said.push(`limit on locked memory ${limit ?? 'unknown'}`);
  return said.length === 0 ? '' : ` (${said.join(', ')})`;
}

function line(path: string): string | null {
  return file(path)?.trim() ?? null;
}

function file(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null; // a kernel without it has nothing to say there
  }
}
