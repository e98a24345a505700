/** docker/kubernetes/overlays/many-collectors: several collectors that share a database, and how they end. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cannotRender, find, type Resource, render } from '../../support/docker/kustomize.ts';

/** A drain lasts so much longer than drain_seconds at most (docs/operate.md). */
const DRAIN_OVERTIME_SECONDS = 10;

describe('several collectors on Kubernetes', { skip: await cannotRender() }, () => {
  it('share a database, end without haste, and are never all away', async () => {
    const resources = await render('overlays/many-collectors');
    const { spec } = find(resources, 'Deployment');
    assert.equal(spec.replicas, 3);
    assert.deepEqual(spec.strategy, {
      type: 'RollingUpdate',
      rollingUpdate: { maxSurge: 1, maxUnavailable: 0 },
    });
    const pod = spec.template.spec;
    const [collector] = pod.containers;
    const values = Object.fromEntries(
      collector.env.map(({ name, value }: { name: string; value: string }) => [name, value]),
    );
    const [, preStop] = collector.lifecycle.preStop.exec.command;
    const neededSeconds =
      Number(preStop) + Number(values['IMDSWATCH_DRAIN_SECONDS']) + DRAIN_OVERTIME_SECONDS;
    assert.ok(pod.terminationGracePeriodSeconds > neededSeconds, `${neededSeconds} s`);
    // An agent must be sent elsewhere before the first third of the drain is over.
    const { periodSeconds, failureThreshold } = collector.readinessProbe;
    assert.ok(periodSeconds * failureThreshold <= Number(values['IMDSWATCH_DRAIN_SECONDS']) / 3);

    // The address has no password, and its files are those of a secret that is mounted.
    const store = new URL(values['IMDSWATCH_STORE'].replace('postgres:', 'http:'));
    assert.equal(store.password, '');
    const database = pod.volumes.find(({ name }: { name: string }) => name === 'database');
    assert.equal(database.secret.secretName, 'imdswatch-database');
    for (const parameter of ['password_file', 'sslrootcert']) {
      assert.match(store.searchParams.get(parameter)!, /^\/etc\/imdswatch\/database\/[a-z.]+$/, parameter);
    }
    const ports = find(resources, 'NetworkPolicy').spec.egress.flatMap(({ ports }: Resource) =>
      ports.map(({ port }: { port: number }) => port),
    );
    assert.ok(ports.includes(Number(store.port)), `${store.port} is open`);

    const budget = find(resources, 'PodDisruptionBudget');
    assert.equal(budget.spec.maxUnavailable, 1);
    const labels = spec.template.metadata.labels;
    const selectors = [
      budget.spec.selector,
      ...pod.topologySpreadConstraints.map((one: Resource) => one['labelSelector']),
    ];
    for (const { matchLabels } of selectors) {
      for (const [name, value] of Object.entries(matchLabels)) assert.equal(labels[name], value);
    }
    assert.deepEqual(
      pod.topologySpreadConstraints.map(({ topologyKey }: { topologyKey: string }) => topologyKey),
      ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'],
    );
    assert.equal(
      resources.some(({ kind }) => kind === 'PersistentVolumeClaim'),
      false,
    );
    assert.ok(
      pod.volumes.some((volume: Resource) => volume['name'] === 'data' && volume['emptyDir'] !== undefined),
    );
  });
});
