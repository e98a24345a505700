import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { containerFacts, systemdFacts } from '../../../../protocol/call.ts';
import { A, owner, WAIT_MS, WorkloadFixture } from '../../../support/agent/identity/workload_fixture.ts';
import { ProcFixture } from '../../../support/agent/linux/proc_fixture.ts';

describe('where no engine is needed', () => {
  let fixture: WorkloadFixture;
  beforeEach(() => {
    fixture = new WorkloadFixture();
  });
  afterEach(() => fixture.close());

  it('gives the unit at once', () => {
    const identity = fixture.watch();
    const ref = fixture.begin('/system.slice/ssh.service');
    assert.deepEqual(identity.facts(ref), {
      container: null,
      k8s: null,
      systemd: { unit: 'ssh.service', slice: 'system.slice' },
    });
    systemdFacts.parse(identity.facts(ref).systemd);
    let isCalled = false;
    identity.whenSettled(ref, WAIT_MS, () => {
      isCalled = true;
    });
    assert.ok(isCalled, 'nothing to wait for');
  });

  it('gives a container’s id without any engine, at once', () => {
    const identity = fixture.watch({ docker: join(fixture.directory, 'nobody.sock') });
    const ref = fixture.begin();
    assert.ok(identity.isSettled(ref));
    assert.deepEqual(identity.facts(ref), {
      container: { id: A, name: null, 'image.name': null, runtime: 'docker' },
      k8s: null,
      systemd: null,
    });
    containerFacts.parse(identity.facts(ref).container);
    assert.equal(fixture.count('no_engine'), 1);
  });

  it('says docker of ECS, which runs it', () => {
    const identity = fixture.watch();
    const ref = fixture.begin(`/ecs/0123456789abcdef0123456789abcdef/${A}`);
    assert.equal(identity.facts(ref).container?.runtime, 'docker');
  });
});

describe('the cgroup read from /proc', () => {
  let fixture: WorkloadFixture;
  beforeEach(() => {
    fixture = new WorkloadFixture();
  });
  afterEach(() => fixture.close());

  let proc: ProcFixture;
  beforeEach(() => {
    proc = new ProcFixture();
    proc.put({ pid: 100, name: 'curl', startTicks: 1234 });
  });
  afterEach(() => proc.remove());
  const moveTo = (path: string) => writeFileSync(join(proc.root, '100', 'cgroup'), `0::${path}\n`);

  it('is that of exactly this process', () => {
    moveTo('/system.slice/cron.service');
    const identity = fixture.watch({}, proc.root);
    assert.equal(identity.facts(identity.begin(owner())).systemd?.unit, 'cron.service');
    assert.equal(identity.begin(owner({ startTicks: 99 })), null);
    assert.equal(identity.begin(owner({ pid: 101 })), null);
    assert.equal(fixture.count('gone'), 2);
    assert.deepEqual(identity.facts(null), { container: null, k8s: null, systemd: null });
  });

  it('is read again after a second, for a process may be moved; where it last was is where it ended', () => {
    moveTo('/user.slice/user-0.slice/session-1.scope');
    const identity = fixture.watch({}, proc.root);
    const unit = () => identity.facts(identity.begin(owner())).systemd?.unit;
    assert.equal(unit(), 'session-1.scope');
    moveTo('/system.slice/job.service');
    assert.equal(unit(), 'session-1.scope');
    fixture.nowMs += 1_001;
    assert.equal(unit(), 'job.service');
    proc.end(100);
    fixture.nowMs += 1_001;
    assert.equal(unit(), 'job.service');
  });

  it('is not read where the kernel recorded it', () => {
    moveTo('/system.slice/cron.service');
    const identity = fixture.watch({}, proc.root);
    const ref = fixture.begin('/system.slice/ssh.service');
    assert.equal(identity.facts(ref).systemd?.unit, 'ssh.service');
    assert.equal(fixture.count('read'), 0);
    const empty = identity.begin(owner({ cgroupPaths: [] }));
    assert.equal(identity.facts(empty).systemd?.unit, 'cron.service');
  });
});
