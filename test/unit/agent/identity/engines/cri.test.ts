import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  A,
  B,
  KUBELET_LABELS,
  POD,
  WAIT_MS,
  WorkloadFixture,
} from '../../../../support/agent/identity/workload_fixture.ts';

const SANDBOX = '5a'.repeat(32);
const CRI_PATH = `/kubepods.slice/kubepods-pod${POD.replaceAll('-', '_')}.slice/cri-containerd-${A}.scope`;

describe('named by the container runtime interface', () => {
  let fixture: WorkloadFixture;
  beforeEach(() => {
    fixture = new WorkloadFixture();
  });
  afterEach(() => fixture.close());

  const sandbox = { id: SANDBOX, uid: POD, name: 'web-0', namespace: 'shop' };
  const container = {
    id: A,
    sandbox,
    name: 'app',
    image: 'docker.io/library/nginx:1.27',
    labels: KUBELET_LABELS,
  };
  const begin = async (path = CRI_PATH) => {
    const ref = fixture.begin(path);
    await fixture.settled(ref);
    return fixture.facts(ref);
  };
  const named = {
    container: { id: A, name: 'app', 'image.name': 'docker.io/library/nginx:1.27', runtime: 'containerd' },
    k8s: { 'pod.uid': POD, 'pod.name': 'web-0', 'namespace.name': 'shop', 'container.name': 'app' },
    systemd: null,
  };

  it('names container and pod by the kubelet’s labels', async () => {
    fixture.cri.containers.set(A, container);
    await fixture.cri.start();
    fixture.watchCri();
    assert.deepEqual(await begin(), named);
    assert.deepEqual(fixture.cri.asked, ['Version', 'ContainerStatus']);
    assert.deepEqual(await begin(), named);
    assert.equal(fixture.cri.asked.length, 2, 'asked once');
  });

  it('is neither loaded nor called before the first container of its kind', async () => {
    fixture.cri.containers.set(A, container);
    await fixture.cri.start();
    fixture.watchCri();
    fixture.begin();
    await sleep(50);
    assert.deepEqual(fixture.cri.asked, []);
  });

  it('finds the pod by its sandbox where the container has no labels', async () => {
    fixture.cri.containers.set(A, { ...container, labels: {} });
    await fixture.cri.start();
    fixture.watchCri();
    assert.deepEqual(await begin(), named);
  });

  it('gives the pod of a container that another engine runs inside of it', async () => {
    fixture.cri.containers.set(B, { ...container, id: B });
    await fixture.cri.start();
    fixture.watchCri();
    const facts = await begin(`/kubepods/pod${POD}/${B}/inner/${A}`);
    assert.deepEqual(facts.container, { id: A, name: null, 'image.name': null, runtime: null });
    assert.deepEqual(facts.k8s, { ...named.k8s, 'container.name': null });
  });

  it('prefers the image’s name to its id', async () => {
    fixture.cri.runtimeName = 'cri-o';
    fixture.cri.containers.set(A, {
      ...container,
      image: `sha256:${'d'.repeat(64)}`,
      userImage: 'quay.io/shop/app:2',
    });
    await fixture.cri.start();
    fixture.watchCri();
    const facts = await begin(`/kubepods.slice/crio-${A}.scope`);
    assert.equal(facts.container?.['image.name'], 'quay.io/shop/app:2');
    assert.equal(facts.container?.runtime, 'cri-o');
  });

  it('what it does not know stays an id, with the pod’s uid from the cgroup', async () => {
    await fixture.cri.start();
    fixture.watchCri();
    assert.deepEqual(await begin(), {
      container: { id: A, name: null, 'image.name': null, runtime: 'containerd' },
      k8s: { 'pod.uid': POD, 'pod.name': null, 'namespace.name': null, 'container.name': null },
      systemd: null,
    });
    assert.equal(fixture.count('cri_unknown'), 1);
    assert.equal(fixture.count('cri_errors'), 0);
  });

  it('a runtime that answers rubbish costs the name only', async () => {
    fixture.cri.fault = () => Buffer.from('ffffffffffffffffffffff', 'hex');
    await fixture.cri.start();
    fixture.watchCri();
    assert.equal((await begin()).container?.name, null);
    assert.equal(fixture.count('cri_errors'), 1);
  });

  it('a runtime that answers nothing costs no more than the wait', async () => {
    fixture.cri.fault = () => null;
    await fixture.cri.start();
    const identity = fixture.watchCri();
    const ref = fixture.begin(CRI_PATH);
    await fixture.settled(ref, WAIT_MS);
    assert.equal(identity.facts(ref).container?.name, null);
    await fixture.settled(ref);
    assert.equal(fixture.count('cri_errors'), 1);
  });

  it('a restarted runtime is called again', async () => {
    fixture.cri.containers.set(A, container);
    fixture.cri.containers.set(B, { ...container, id: B, name: 'side', labels: {} });
    await fixture.cri.start();
    fixture.watchCri();
    assert.deepEqual(await begin(), named);
    fixture.cri.stop();
    const other = CRI_PATH.replace(A, B);
    assert.equal((await begin(other)).container?.name, null);
    await fixture.cri.start();
    fixture.nowMs += 5_000;
    assert.equal((await begin(other)).container?.name, 'side');
  });
});
