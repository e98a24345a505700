import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  type BpfFailureEvidence,
  judgeBpfFailure,
  missingCapabilities,
} from '../../../../agent/linux/ebpf_failure.ts';

const SYS_ADMIN = 1n << 21n;
const PERFMON = 1n << 38n;
const BPF = 1n << 39n;

function evidence(change: Partial<BpfFailureEvidence>): BpfFailureEvidence {
  return {
    step: 'load',
    errno: 1,
    kernelRelease: '6.1.0-21-amd64',
    hasBtf: true,
    effectiveCapabilities: SYS_ADMIN,
    lockdown: '[none] integrity confidentiality\n',
    ...change,
  };
}

describe('why eBPF cannot be used', () => {
  it('names the missing capability', () => {
    assert.deepEqual(missingCapabilities(0n), ['CAP_BPF', 'CAP_PERFMON']);
    assert.deepEqual(missingCapabilities(BPF), ['CAP_PERFMON']);
    assert.deepEqual(missingCapabilities(PERFMON), ['CAP_BPF']);
    assert.deepEqual(missingCapabilities(BPF | PERFMON), []);
    assert.deepEqual(missingCapabilities(SYS_ADMIN), []);
    const { kind, message } = judgeBpfFailure(evidence({ effectiveCapabilities: BPF }));
    assert.equal(kind, 'not_permitted');
    assert.match(message, /CAP_PERFMON missing/);
  });

  it('tells the other causes apart', () => {
    const kindOf = (change: Partial<BpfFailureEvidence>) => judgeBpfFailure(evidence(change)).kind;
    assert.equal(kindOf({ hasBtf: false, effectiveCapabilities: 0n }), 'no_btf');
    assert.equal(kindOf({ lockdown: 'none integrity [confidentiality]\n' }), 'locked_down');
    assert.equal(kindOf({ lockdown: 'none [integrity] confidentiality\n' }), 'not_permitted');
    assert.equal(kindOf({ kernelRelease: '5.4.0-1103-aws', errno: 22 }), 'kernel_too_old');
    assert.equal(kindOf({ kernelRelease: '4.14.336-257.562.amzn2.x86_64', errno: 22 }), 'kernel_too_old');
    assert.equal(kindOf({ kernelRelease: '5.10.0-30-amd64', errno: 22 }), 'failed');
    assert.equal(kindOf({ kernelRelease: '10.1', errno: 22 }), 'failed');
    assert.equal(kindOf({}), 'not_permitted');
    assert.match(judgeBpfFailure(evidence({})).message, /seccomp/);
    assert.equal(kindOf({ effectiveCapabilities: null, lockdown: null, errno: 13 }), 'failed');
  });
});

describe('opening an attributor', () => {
  const script = `
    import { openAttributor } from ${JSON.stringify(join(import.meta.dirname, '../../../../agent/attribution/open_attributor.ts'))};
    const said = [];
    const log = { debug() {}, info(message) { said.push(message); }, warn(message) { said.push(message); } };
    try {
      const { attributor, reason } = openAttributor({ mode: process.argv[1], log });
      console.log(JSON.stringify({ method: attributor.method, reason, said }));
      attributor.close();
    } catch (error) {
      console.log(JSON.stringify({ name: error.name, exitCode: error.exitCode, message: error.message, said }));
    }
  `;
  const open = (mode: string, ...wrapper: string[]) =>
    JSON.parse(
      execFileSync(
        wrapper[0] ?? process.execPath,
        [
          ...(wrapper.length > 0 ? [...wrapper.slice(1), process.execPath] : []),
          '--disable-warning=ExperimentalWarning',
          '--input-type=module',
          '-e',
          script,
          '--',
          mode,
        ],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
      ),
    );
  const notRoot = process.getuid?.() === 0 ? false : 'needs root';
  const unprivileged = ['setpriv', '--bounding-set', '-bpf,-perfmon,-sys_admin', '--inh-caps', '-all'];

  it('uses sock_diag on request, and gives the reason', () => {
    const opened = open('proc');
    assert.equal(opened.method, 'sock_diag');
    assert.match(opened.reason, /turned off/);
  });

  it('falls back by itself without the capabilities, and says so once', { skip: notRoot }, () => {
    const opened = open('auto', ...unprivileged);
    assert.equal(opened.method, 'sock_diag');
    assert.match(opened.reason, /CAP_BPF and CAP_PERFMON missing/);
    assert.equal(opened.said.filter((line: string) => line.includes('CAP_BPF')).length, 1);
  });

  it('ends with exit code 3 if eBPF is required and not possible', { skip: notRoot }, () => {
    const refused = open('ebpf', ...unprivileged);
    assert.equal(refused.name, 'OperatorError');
    assert.equal(refused.exitCode, 3);
    assert.match(refused.message, /CAP_BPF and CAP_PERFMON missing/);
    assert.deepEqual(refused.said, []);
  });

  it('needs no more than CAP_BPF and CAP_PERFMON', { skip: notRoot }, (t) => {
    const full = open('ebpf');
    if (full.method !== 'ebpf') return t.skip(`no eBPF on this machine: ${full.message}`);
    const opened = open('ebpf', 'setpriv', '--bounding-set', '-all,+bpf,+perfmon', '--inh-caps', '-all');
    assert.equal(opened.method, 'ebpf', opened.message);
    assert.equal(opened.reason, null);
  });
});
