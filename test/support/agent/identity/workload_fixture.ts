/** A `WorkloadIdentity` with engines that never were, and a clock that stands still until it is moved. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SocketOwner } from '../../../../agent/attribution/owner.ts';
import { openEngines } from '../../../../agent/identity/engines/open_engines.ts';
import {
  type WorkloadFacts,
  WorkloadIdentity,
  type WorkloadRef,
} from '../../../../agent/identity/workload.ts';
import { FakeCri } from './engines/fake_cri.ts';
import { FakeDocker } from './engines/fake_docker.ts';

export const A = 'a1'.repeat(32);
export const B = 'b2'.repeat(32);
export const POD = '3f1a7c2e-8d4b-4c1e-9f70-0123456789ab';
export const DOCKER_PATH = `/system.slice/docker-${A}.scope`;
export const KUBELET_LABELS = {
  'io.kubernetes.pod.name': 'web-0',
  'io.kubernetes.pod.namespace': 'shop',
  'io.kubernetes.pod.uid': POD,
  'io.kubernetes.container.name': 'app',
};
/** Time for which the pipeline holds a call for a name. */
export const WAIT_MS = 250;

export function owner(change: Partial<SocketOwner> & { cgroupPaths?: string[] } = {}): SocketOwner {
  return {
    pid: 100,
    startTicks: 1234,
    name: 'curl',
    executable: '/usr/bin/curl',
    uid: 0,
    args: null,
    argsTruncated: false,
    netns: null,
    cgroupId: null,
    ancestors: null,
    method: 'ebpf',
    confidence: 'exact',
    ...change,
  };
}

export class WorkloadFixture {
  readonly directory = mkdtempSync(join(tmpdir(), 'imdswatch-engines-'));
  readonly docker = new FakeDocker(join(this.directory, 'docker.sock'));
  readonly cri = new FakeCri(join(this.directory, 'cri.sock'));
  nowMs = 10_000;
  #identity: WorkloadIdentity | null = null;

  /** Both settings as the agent has them; not asked at all unless given. */
  watch(sockets: { docker?: string; cri?: string } = {}, procRoot = '/nonexistent'): WorkloadIdentity {
    const now = () => this.nowMs;
    const engines = openEngines(
      { docker_socket: sockets.docker ?? 'none', cri_socket: sockets.cri ?? 'none' },
      { debug: () => {}, warn: () => {} },
      now,
    );
    this.#identity = new WorkloadIdentity({ engines, now, procRoot });
    return this.#identity;
  }

  watchDocker(): WorkloadIdentity {
    return this.watch({ docker: this.docker.socketPath });
  }

  /** Until the engine's list was read and its events are listened to. */
  async followDocker(): Promise<WorkloadIdentity> {
    await this.docker.start();
    const identity = this.watchDocker();
    await this.until(() => this.count('docker_followed') === 1);
    return identity;
  }

  watchCri(): WorkloadIdentity {
    return this.watch({ cri: `unix://${this.cri.socketPath}` });
  }

  begin(path = DOCKER_PATH): WorkloadRef | null {
    return this.#identity!.begin(owner({ cgroupPaths: [path] }));
  }

  facts(ref: WorkloadRef | null): WorkloadFacts {
    return this.#identity!.facts(ref);
  }

  settled(ref: WorkloadRef | null, timeoutMs = 30_000): Promise<void> {
    return new Promise((resolve) => this.#identity!.whenSettled(ref, timeoutMs, resolve));
  }

  count(name: string): number {
    return this.#identity!.counters()[name] ?? 0;
  }

  async until(condition: () => boolean): Promise<void> {
    for (let tries = 0; tries < 3_000 && !condition(); tries++) await sleep(10);
    assert.ok(condition(), `${condition}: ${JSON.stringify(this.#identity?.counters())}`);
  }

  async close(): Promise<void> {
    this.#identity?.close();
    await this.docker.stop();
    this.cri.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
