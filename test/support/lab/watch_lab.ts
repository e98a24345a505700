/** Provides the tests of a running watch with a lab, a watch in it, and the comparison of both. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { compareCalls, describeDifference } from '../../../lab/compare.ts';
import type { SeenRequest } from '../../../lab/ground_truth.ts';
import type { Lab } from '../../../lab/lab.ts';
import { IMDS_IPV4 } from '../../../protocol/endpoints.ts';
import { Watcher } from './watcher.ts';

export const MAIN = join(import.meta.dirname, '../../../cli/main.ts');
export const RAW_TCP = join(import.meta.dirname, 'raw_tcp.py');
export const skip =
  process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';

export const run = promisify(execFile);

export function startWatch(lab: Lab, ...options: string[]): Promise<Watcher> {
  return Watcher.start(lab, [process.execPath, MAIN, 'watch', '--json', ...options]);
}

/** Returns what the metadata service saw since the watch was ready. */
export async function truthsSince(lab: Lab, watcher: Watcher): Promise<SeenRequest[]> {
  return (await lab.metadata.log()).filter(({ seq }) => seq > watcher.readySeq);
}

/** Every request that the service saw was reported once and right; owners are not compared. */
export async function assertSame(lab: Lab, watcher: Watcher): Promise<void> {
  const truths = await truthsSince(lab, watcher);
  for (const deadlineMs = performance.now() + 30_000; performance.now() < deadlineMs; await sleep(50)) {
    if (watcher.calls.length >= truths.length) break;
  }
  assert.deepEqual(compareCalls(truths, watcher.calls).map(describeDifference), []);
  assert.deepEqual(watcher.invalid, []);
  assert.ok(truths.length > 0, 'something happened');
}

/** In the lab's own ruleset, so that nothing outside it is touched. */
export async function nft(namespace: string, rules: string): Promise<void> {
  const child = run('nsenter', [`--net=/run/netns/${namespace}`, 'nft', '-f', '-']);
  child.child.stdin?.end(rules);
  await child;
}

/** Resident memory in bytes that is the process's own: without files, and without the kernel's ring of packets. */
export function residentBytes(pid: number): number {
  const [, kib] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) * 1_024;
}

/** Returns whether a capture is open in a namespace. Default: the one of the lab's host. */
export async function isCapturing(lab: Lab, namespace = lab.hostNamespace): Promise<boolean> {
  const { stdout } = await lab.run(['cat', '/proc/net/packet'], { from: { namespace } });
  // One line is the table's head; a second one is the capture's socket.
  return stdout.split('\n').length > 2;
}

/** Waits until what the kernel captured so far is reported: a call of our own comes behind it. Throws after a minute. */
export async function untilReported(lab: Lab, watcher: Watcher): Promise<void> {
  const isReported = (path: string) => watcher.calls.some((call) => call['url.path'] === path);
  for (let number = 0; number < 30; number++) {
    const path = `/behind-${number}`;
    await lab.run(['curl', '-s', '-o', '/dev/null', '-m', '5', `http://${IMDS_IPV4}${path}`]);
    // While the ring is full, the kernel drops this call too.
    for (const endMs = performance.now() + 2_000; performance.now() < endMs; await sleep(20)) {
      if (isReported(path)) return;
    }
  }
  throw new Error(`no call was reported for a minute: ${watcher.complaints}`);
}
