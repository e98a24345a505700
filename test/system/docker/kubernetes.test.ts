/** docker/kubernetes: rendered by kubectl, held against Kubernetes' own schemas, and against what README.md promises. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, it } from 'node:test';
import { agentSettings } from '../../../agent/config.ts';
import { collectorSettings } from '../../../collector/config.ts';
import { ROOT } from '../../support/docker/images.ts';
import { cannotRender, find, type Resource, render } from '../../support/docker/kustomize.ts';
import { hasPackage, typeErrors } from '../../support/docker/typed.ts';

const ROOM = join(ROOT, 'docker/kubernetes');
const OVERLAYS = ['base', 'overlays/eks', 'overlays/dev', 'overlays/many-collectors'] as const;

function moduleOf({ apiVersion, kind }: Resource): { module: string; type: string } {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  const from =
    group === 'monitoring.coreos.com' ? '@kubernetes-models/prometheus-operator' : 'kubernetes-models';
  return { module: [from, group, version, kind].filter((part) => part !== '').join('/'), type: `I${kind}` };
}

/** Variables that set nothing of imdswatch: the node's name, which the agent's configuration uses, and flags of Node. */
const NOT_OURS: ReadonlySet<string> = new Set(['NODE_NAME', 'NODE_OPTIONS']);

describe('Kubernetes manifests', { skip: await cannotRender() }, () => {
  for (const overlay of OVERLAYS) {
    it(`${overlay}: every resource is of its published schema, with no field that does not exist`, async (t) => {
      const resources = await render(overlay);
      assert.ok(resources.length >= 9, String(resources.length));
      const schemas = ['kubernetes-models', '@kubernetes-models/prometheus-operator'];
      const missing = schemas.filter((name) => !hasPackage(name));
      if (missing.length > 0) return t.skip(`${missing.join(', ')} not installed`);
      for (const resource of resources) {
        const { module } = moduleOf(resource);
        const models = (await import(module)) as Record<string, new (data: unknown) => { validate(): void }>;
        const model = new models[resource.kind]!(resource);
        assert.doesNotThrow(() => model.validate(), `${resource.kind} ${resource.metadata.name}`);
      }
      const documents = resources.map((resource) => ({
        name: `${resource.kind}/${resource.metadata.name}`,
        ...moduleOf(resource),
        value: resource,
      }));
      assert.deepEqual(await typeErrors(documents), []);
      const wrong = structuredClone(documents.find(({ name }) => name.startsWith('DaemonSet/'))!);
      (wrong.value as Resource).spec.template.spec.hostPIDs = true;
      assert.match((await typeErrors([wrong])).join(), /DaemonSet.*hostPIDs/, 'and it would say so');
    });

    it(`${overlay}: settings exist, secrets are named and never held, what is mounted is there`, async () => {
      const resources = await render(overlay);
      assert.deepEqual(
        resources.filter(({ kind }) => kind === 'Secret'),
        [],
      );
      for (const [kind, schema] of [
        ['DaemonSet', agentSettings],
        ['Deployment', collectorSettings],
      ] as const) {
        const pod = find(resources, kind).spec.template.spec;
        const [container] = pod.containers;
        const environment: { name: string; value?: string }[] = container.env;
        for (const { name, value } of environment) {
          if (NOT_OURS.has(name)) continue;
          const key = name.replace(/^IMDSWATCH_/, '').toLowerCase();
          assert.ok(key in schema.shape, `${kind}: ${name} is no setting`);
          assert.doesNotMatch(key, /token$/, 'by file, not by value');
          if (value !== undefined) assert.equal(typeof value, 'string');
        }
        const volumes = pod.volumes.map(({ name }: { name: string }) => name).sort();
        const mounts = container.volumeMounts.map(({ name }: { name: string }) => name).sort();
        assert.deepEqual(mounts, volumes);
        const paths: string[] = container.volumeMounts.map(
          ({ mountPath }: { mountPath: string }) => mountPath,
        );
        for (const { name, value } of environment.filter(({ name }) => name.endsWith('_FILE'))) {
          assert.ok(
            paths.some((path) => value!.startsWith(`${path}/`)),
            `${name}=${value} is mounted`,
          );
        }
      }
    });
  }

  it('the agent: on every node, least privileges, and an identity without the metadata service', async () => {
    const resources = await render('base');
    const { spec } = find(resources, 'DaemonSet');
    const pod = spec.template.spec;
    const [agent] = pod.containers;
    assert.deepEqual(pod.tolerations, [{ operator: 'Exists' }]);
    assert.deepEqual([pod.hostPID, pod.hostNetwork, pod.dnsPolicy], [true, true, 'ClusterFirstWithHostNet']);
    assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault');
    assert.deepEqual(agent.securityContext.capabilities, {
      drop: ['ALL'],
      add: ['NET_RAW', 'BPF', 'PERFMON', 'SYS_PTRACE', 'DAC_READ_SEARCH'],
    });
    const { privileged, allowPrivilegeEscalation, readOnlyRootFilesystem } = agent.securityContext;
    assert.deepEqual([privileged, allowPrivilegeEscalation, readOnlyRootFilesystem], [false, false, true]);
    assert.equal(pod.automountServiceAccountToken, false);
    assert.equal(pod.priorityClassName, find(resources, 'PriorityClass').metadata.name);
    const nodeName = agent.env.find(({ name }: { name: string }) => name === 'NODE_NAME');
    assert.equal(nodeName.valueFrom.fieldRef.fieldPath, 'spec.nodeName');
    const writable = agent.volumeMounts.filter(({ readOnly }: { readOnly?: boolean }) => !readOnly);
    assert.deepEqual(
      writable.map(({ name }: { name: string }) => name),
      ['spool', 'alive'],
    );
    const { labels } = find(resources, 'Namespace', 'imdswatch-agent').metadata;
    assert.equal(labels?.['pod-security.kubernetes.io/enforce'], 'privileged');
    assert.match(agent.resources.limits.memory, /^\d+Mi$/);
    for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
      assert.deepEqual(agent[probe].exec.command, ['/usr/bin/imdswatch-healthy']);
    }
  });

  it('the collector: what the restricted Pod Security Standard asks for, one writer, a volume, and no way to the metadata service', async () => {
    const resources = await render('base');
    const { labels } = find(resources, 'Namespace', 'imdswatch').metadata;
    assert.equal(labels?.['pod-security.kubernetes.io/enforce'], 'restricted');
    const { spec } = find(resources, 'Deployment');
    assert.deepEqual([spec.replicas, spec.strategy.type], [1, 'Recreate']);
    const pod = spec.template.spec;
    const [collector] = pod.containers;
    assert.equal(pod.securityContext.runAsNonRoot, true);
    assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault');
    assert.deepEqual(collector.securityContext, {
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    assert.deepEqual(
      [pod.hostPID, pod.hostNetwork, pod.hostIPC].filter((host) => host !== undefined),
      [],
    );
    for (const volume of pod.volumes) assert.equal('hostPath' in volume, false);
    assert.equal(collector.readinessProbe.httpGet.path, '/readyz');
    assert.equal(collector.livenessProbe.httpGet.path, '/healthz');
    const claim = find(resources, 'PersistentVolumeClaim');
    assert.ok(
      pod.volumes.some(
        (volume: Resource) => volume['persistentVolumeClaim']?.claimName === claim.metadata.name,
      ),
    );

    const service = find(resources, 'Service');
    const podLabels = spec.template.metadata.labels;
    for (const [name, value] of Object.entries(service.spec.selector)) assert.equal(podLabels[name], value);
    const agentUrl = find(resources, 'DaemonSet').spec.template.spec.containers[0].env.find(
      ({ name }: { name: string }) => name === 'IMDSWATCH_COLLECTOR_URL',
    ).value;
    const { name, namespace } = service.metadata;
    assert.equal(agentUrl, `wss://${name}.${namespace}.svc:${service.spec.ports[0].port}`);
    const blocks = find(resources, 'NetworkPolicy').spec.egress.flatMap(({ to }: Resource) =>
      to.flatMap(({ ipBlock }: Resource) => (ipBlock === undefined ? [] : [ipBlock])),
    );
    assert.deepEqual(
      blocks.map(({ except }: { except: string[] }) => except),
      [['169.254.0.0/16'], ['fd00:ec2::/32']],
    );
  });

  it('eks: images of a registry, findings by cluster, Prometheus; dev: no TLS, no volume claim', async () => {
    const eks = await render('overlays/eks');
    const agent = find(eks, 'DaemonSet').spec.template.spec.containers[0];
    assert.match(agent.image, /\.amazonaws\.com\/imdswatch-agent:\d/);
    const values = Object.fromEntries(
      agent.env.map(({ name, value }: { name: string; value: string }) => [name, value]),
    );
    assert.equal(values['IMDSWATCH_ENDPOINTS'], 'imds,eks');
    const monitor = find(eks, 'ServiceMonitor');
    assert.equal(monitor.spec.endpoints[0].port, find(eks, 'Service').spec.ports[0].name);
    const dev = await render('overlays/dev');
    assert.equal(
      dev.some(({ kind }) => kind === 'PersistentVolumeClaim'),
      false,
    );
    const { env } = find(dev, 'Deployment').spec.template.spec.containers[0];
    assert.ok(
      env.some(
        ({ name, value }: { name: string; value: string }) =>
          name === 'IMDSWATCH_INSECURE_HTTP' && value === 'true',
      ),
    );
    assert.equal(
      find(dev, 'Deployment').spec.template.spec.containers[0].livenessProbe.httpGet.scheme,
      'HTTP',
    );
  });

  it('components/without-btf mounts the descriptions of tracepoints', async () => {
    const directory = realpathSync(mkdtempSync(join(tmpdir(), 'imdswatch-overlay-')));
    const pathOf = (name: string) => relative(directory, join(realpathSync(ROOM), name));
    try {
      const kustomization = {
        resources: [pathOf('overlays/dev')],
        components: [pathOf('components/without-btf')],
      };
      writeFileSync(join(directory, 'kustomization.yaml'), JSON.stringify(kustomization));
      const { template } = find(await render(directory), 'DaemonSet').spec;
      const mount = { name: 'tracefs', mountPath: '/sys/kernel/tracing', readOnly: true };
      assert.deepEqual(template.spec.containers[0].volumeMounts.at(-1), mount);
      assert.deepEqual(template.spec.volumes.at(-1).hostPath.path, mount.mountPath);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('README.md: every setting of the base that an overlay may change, and every secret, is in it', async () => {
    const readme = readFileSync(join(ROOM, 'README.md'), 'utf8');
    const resources = await render('overlays/eks');
    const many = await render('overlays/many-collectors');
    const secrets = new Set(
      JSON.stringify([resources, many]).match(
        /imdswatch-(?:enrolment|collector-tls|collector-ca|prometheus|database)/g,
      ),
    );
    assert.equal(secrets.size, 5);
    for (const secret of secrets) assert.ok(readme.includes(`\`${secret}\``), secret);
    for (const capability of find(resources, 'DaemonSet').spec.template.spec.containers[0].securityContext
      .capabilities.add) {
      assert.ok(readme.includes(`\`${capability}\``), capability);
    }
    const overlays = readdirSync(join(ROOM, 'overlays')).concat(readdirSync(join(ROOM, 'components')));
    for (const name of overlays) assert.ok(readme.includes(name), name);
  });
});
