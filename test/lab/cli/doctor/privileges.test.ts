/** Tests doctor as a command: without some capabilities, as an ordinary user, and its exit code. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import type { CheckResult } from '../../../../cli/doctor/all_checks.ts';
import { Places } from '../../../support/cli/doctor/sides.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: takes capabilities away from itself';
const MAIN = join(import.meta.dirname, '../../../../cli/main.ts');
const places = new Places();
afterEach(() => places.end());

interface Run {
  status: number | null;
  stderr: string;
  stdout: string;
}

function doctor(flags: string[], through: string[] = []): Run {
  const [command = '', ...args] = [...through, process.execPath, MAIN, 'doctor', ...flags];
  // The environment keeps out what this machine itself may have configured.
  const env = { PATH: process.env['PATH'], HOME: places.directory() };
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env });
  return { status, stdout, stderr };
}

function flagsFor(spool: string): string[] {
  const none = ['--docker-socket', 'none', '--cri-socket', 'none', '--collector-url', 'ws://127.0.0.1:9'];
  return ['--part', 'agent', '--spool-dir', spool, '--host-id', 'i-0123456789abcdef0', ...none];
}

function examined(
  check: string,
  through: string[] = [],
  more: string[] = [],
): Pick<CheckResult, 'status' | 'text'>[] {
  const { stdout, stderr } = doctor([...flagsFor(places.directory()), '--json', ...more], through);
  assert.equal(stderr, '');
  const { findings } = JSON.parse(stdout) as { findings: CheckResult[] };
  return findings.filter((finding) => finding.check === check).map(({ status, text }) => ({ status, text }));
}

const without = (...names: string[]) => [
  'setpriv',
  '--bounding-set',
  names.map((name) => `-${name}`).join(','),
];
const NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];

describe('doctor', { skip }, () => {
  it('opens a capture, and says which capability is missing where it cannot', () => {
    assert.match(examined('capture')[0]!.text, /^libpcap version \S+; a capture on any was opened$/);
    const [refused] = examined('capture', without('net_raw'));
    assert.equal(refused?.status, 'fail');
    assert.match(refused.text, /CAP_NET_RAW is missing/);
    assert.deepEqual(examined('capabilities', without('net_raw'))[0], {
      status: 'fail',
      text: 'this process has no CAP_NET_RAW: it cannot capture packets',
    });
  });

  it('loads the eBPF program, and says what refuses it', () => {
    const [loaded] = examined('eBPF');
    // A kernel that forbids the program gives a reason; the check must not be skipped.
    assert.match(loaded!.text, loaded!.status === 'ok' ? /was loaded and attached/ : /.{20}/);
    assert.notEqual(loaded!.status, 'skip');
    const [refused] = examined('eBPF', without('sys_admin', 'bpf', 'perfmon'));
    assert.equal(refused?.status, 'warn');
    assert.match(refused.text, /CAP_BPF and CAP_PERFMON missing/);
    assert.match(refused.text, /kernel\.unprivileged_bpf_disabled=\d/);
    const demanded = examined('eBPF', without('sys_admin', 'bpf', 'perfmon'), ['--attribution', 'ebpf']);
    assert.equal(demanded[0]?.status, 'fail');
    assert.equal(examined('eBPF', [], ['--attribution', 'proc'])[0]?.status, 'skip');
  });

  it('says which way without type information works, and what it needs', () => {
    const tracepoint = ['--attribution', 'tracepoint'];
    const [loaded, events] = examined('eBPF', [], tracepoint);
    assert.match(loaded!.text, loaded!.status === 'ok' ? /on a tracepoint was loaded/ : /^tracepoint: .{20}/);
    assert.match(events!.text, events!.status === 'ok' ? /reports which programs run/ : /Process events/);
    // Newer kernels report processes to everybody.
    const [, unprivileged] = examined('eBPF', without('net_admin'), tracepoint);
    assert.match(unprivileged!.text, unprivileged!.status === 'ok' ? /which programs run/ : /Process events/);
    const refused = examined('eBPF', without('sys_admin', 'bpf', 'perfmon'));
    assert.match(refused[1]!.text, /^tracepoint: /, 'both programs are refused, each with its reason');
  });

  it('says what it did not check as an ordinary user', () => {
    const spool = places.directory();
    chmodSync(spool, 0o700);
    const { stdout, status } = doctor([...flagsFor(spool), '--json'], NOBODY);
    const { findings } = JSON.parse(stdout) as { findings: CheckResult[] };
    const findingOf = (check: string) => findings.find((finding) => finding.check === check)!;
    for (const check of ['eBPF', 'capture', 'capabilities', 'agent', 'spool', 'identity']) {
      assert.equal(findingOf(check).status, 'skip', check);
      assert.match(findingOf(check).text, /^not checked: /);
    }
    assert.equal(findingOf('kernel').text.startsWith('Linux'), true);
    assert.equal(status, 1, 'the collector cannot be reached');
  });

  it('reports a spool that cannot be written', () => {
    const spool = places.directory();
    chmodSync(spool, 0o755);
    const { stdout } = doctor([...flagsFor(spool), '--json'], NOBODY);
    const { findings } = JSON.parse(stdout) as { findings: CheckResult[] };
    assert.equal(findings.find(({ check }) => check === 'spool')?.status, 'fail');
  });

  it('says whether the configuration file is valid', () => {
    const directory = places.directory();
    const spool = join(directory, 'spool');
    mkdirSync(spool);
    const file = join(directory, 'agent.yaml');
    writeFileSync(file, `spool_dir: ${spool}\n`);
    const good = doctor(['--part', 'agent', '--config', file, '--json']);
    assert.match(good.stdout, /agent\.yaml is valid/);
    assert.match(good.stdout, new RegExp(`${spool} is empty`));
    writeFileSync(file, 'spool_dri: /x\n');
    const bad = doctor(['--part', 'agent', `--config=${file}`, '--json']);
    assert.equal(bad.status, 1);
    assert.match(bad.stdout, /there is no setting \\"spool_dri\\"/);
  });

  it('says that it cannot check the token file as an ordinary user', () => {
    const directory = places.directory();
    chmodSync(directory, 0o700);
    writeFileSync(join(directory, 'token'), 'secret', { mode: 0o600 });
    const flags = ['--agent-token-file', join(directory, 'token'), '--json'];
    const { stdout } = doctor([...flagsFor(places.directory()), ...flags], NOBODY);
    const { findings } = JSON.parse(stdout) as { findings: CheckResult[] };
    const configuration = findings.filter(({ check }) => check === 'configuration');
    assert.deepEqual(
      configuration.map(({ status }) => status),
      ['ok', 'skip'],
      stdout,
    );
    assert.match(configuration[1]!.text, /^not checked: the permissions of agent_token_file/);
  });

  it('exits with 0, with 1 when something failed (with --strict also for warnings), with 2 for bad usage', () => {
    const nothing = ['--part', 'collector', '--data-dir', places.directory()];
    const well = doctor(nothing);
    assert.equal(well.status, 0, well.stdout);
    assert.match(well.stdout, /^Collector\n {2}OK {4}configuration {2}no configuration file/);
    assert.match(well.stdout, /\d ok, \d warnings, 0 failed, 0 not checked\n$/);
    assert.doesNotMatch(well.stdout, /\x1b/, 'no colours where it is no terminal');
    assert.equal(doctor([...nothing, '--strict']).status, 1);
    assert.equal(doctor(flagsFor(places.directory())).status, 1);
    const usage = doctor(['--part', 'engine']);
    assert.equal(usage.status, 2);
    assert.match(usage.stderr, /--part is "engine"/);
  });
});
