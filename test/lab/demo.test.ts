/** The first thing that a newcomer runs. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { pidsWithTag } from '../../lab/namespaces.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
const LAUNCHER = join(import.meta.dirname, '../../bin/imdswatch');
const RUN_MS = 300_000;
/**
 * From the first refused call until the former value was given back and read. It takes some seconds where nothing else
 * runs, and the soak, which must not be waited for, takes a day.
 */
const ROLLED_BACK_WITHIN_S = 60;
const ACT_LINES = 25;

/** Runs the demo once. `interruptAt`: sends SIGINT when its output matches. */
function demo(interruptAt: RegExp | null): Promise<{ pid: number; code: number | null; said: string }> {
  // An operator's own settings for AWS must not lead out of the lab.
  const env = { ...process.env, AWS_PROFILE: 'of-the-operator', AWS_ENDPOINT_URL_EC2: 'http://127.0.0.1:1' };
  const child = spawn(LAUNCHER, ['demo', '--once'], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: RUN_MS,
  });
  const pid = child.pid!;
  let said = '';
  let isInterrupted = false;
  const listen = (part: string) => {
    said += part;
    if (isInterrupted || interruptAt?.test(said) !== true) return;
    isInterrupted = true;
    child.kill('SIGINT');
  };
  child.stdout.setEncoding('utf8').on('data', listen);
  child.stderr.setEncoding('utf8').on('data', listen);
  return new Promise((resolve) => child.once('close', (code) => resolve({ pid, code, said })));
}

/** Namespaces, directories and processes of the labs that this process made. */
function leftBy(pid: number): (string | number)[] {
  const ofPid = new RegExp(`^imdsw-demo2?-${pid}-`);
  const names = ['/run/netns', tmpdir()].flatMap((directory) =>
    readdirSync(directory).filter((name) => ofPid.test(name)),
  );
  return [...names, ...pidsWithTag(`imdsw-demo-${pid}-`), ...pidsWithTag(`imdsw-demo2-${pid}-`)];
}

it('imdswatch demo --once: runs through, and its results are what the lab did', { skip }, async (t) => {
  // It compares offenders with the metadata services' logs, and changes with the log of the lab's cloud. It fails
  // where they differ.
  const { pid, code, said } = await demo(null);
  assert.equal(code, 0, said);
  assert.match(said, /got credentials over IMDSv1/);
  assert.match(said, /The rows match the log of the metadata service/);
  if (!/no eBPF/.test(said)) {
    const act = said.slice(
      said.indexOf('● imdswatch cloud sync'),
      said.indexOf('\n\n', said.indexOf('ROLLED BACK')),
    );
    assert.match(act, /^● imdswatch cloud sync/);
    assert.match(act, /Stored 3 instances, 2 Auto Scaling groups/);
    assert.match(act, /REFUSED by the guard "verdict": The verdict is blocked\..*Callers: [a-z0-9_]+\.\w+/s);
    assert.match(act, /web-1: tokens are optional, as before/);
    assert.match(act, /ENFORCED: api-1 was ready\. Read back from the cloud: tokens are required\./);
    assert.match(act, /401 for its first call\. The plan says: backup_job\.py called without a token/);
    assert.match(act, /backup_job\.py works again, after [1-9]\d* refused calls/);
    const seconds = Number(/ROLLED BACK ([\d.]+) s after that call/.exec(act)?.[1]);
    assert.ok(seconds < ROLLED_BACK_WITHIN_S, act);
    assert.ok(act.split('\n').length <= ACT_LINES, act);
    t.diagnostic(`rolled back ${seconds} s after the first refused call`);
  }
  assert.deepEqual(leftBy(pid), []);
});

it('imdswatch demo --once: leaves nothing behind when it is interrupted', { skip }, async () => {
  // Both labs, the collector, an agent and the cloud run by then.
  const { pid, code, said } = await demo(/is ready now|no eBPF/);
  assert.equal(code, 1, said);
  assert.doesNotMatch(said, /ROLLED BACK/);
  assert.deepEqual(leftBy(pid), []);
});
