import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cgroupFacts, cgroupPaths } from '../../../../agent/linux/cgroup.ts';

const A = 'a1'.repeat(32);
const B = 'b2'.repeat(32);
const POD = '3f1a7c2e-8d4b-4c1e-9f70-0123456789ab';
const POD_ = POD.replaceAll('-', '_');

const none = { containerId: null, runtime: null, podUid: null, systemd: null };
const inContainer = (runtime: string | null, podUid: string | null = null, id = A) => ({
  containerId: id,
  runtime,
  podUid,
  systemd: null,
});
const unit = (name: string | null, slice: string | null) => ({ ...none, systemd: { unit: name, slice } });

/** /proc/PID/cgroup as it was read on machines of each kind, ids replaced. */
const LAYOUTS: [string, string, object][] = [
  ['docker, systemd driver, v2', `0::/system.slice/docker-${A}.scope\n`, inContainer('docker')],
  ['docker, cgroupfs, v2', `0::/docker/${A}\n`, inContainer('docker')],
  [
    'docker, cgroupfs, v1',
    `12:pids:/docker/${A}\n11:memory:/docker/${A}\n3:cpu,cpuacct:/docker/${A}\n1:name=systemd:/docker/${A}\n`,
    inContainer('docker'),
  ],
  [
    'docker, systemd driver, v1',
    `12:pids:/system.slice/docker-${A}.scope\n1:name=systemd:/system.slice/docker-${A}.scope\n`,
    inContainer('docker'),
  ],
  [
    'docker, hybrid: the unified hierarchy is left with the daemon',
    `11:memory:/docker/${A}\n1:name=systemd:/docker/${A}\n0::/system.slice/docker.service\n`,
    inContainer('docker'),
  ],
  ['docker with --cgroup-parent', `0::/actions_job/${A}\n`, inContainer(null)],
  [
    'rootless docker',
    `0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-${A}.scope\n`,
    inContainer('docker'),
  ],
  [
    'containerd, systemd driver, burstable',
    `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/cri-containerd-${A}.scope\n`,
    inContainer('containerd', POD),
  ],
  [
    'containerd, systemd driver, besteffort',
    `0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD_}.slice/cri-containerd-${A}.scope\n`,
    inContainer('containerd', POD),
  ],
  [
    'containerd, systemd driver, guaranteed',
    `0::/kubepods.slice/kubepods-pod${POD_}.slice/cri-containerd-${A}.scope\n`,
    inContainer('containerd', POD),
  ],
  ['cgroupfs, burstable', `0::/kubepods/burstable/pod${POD}/${A}\n`, inContainer(null, POD)],
  [
    'cgroupfs, besteffort, v1',
    `5:memory:/kubepods/besteffort/pod${POD}/${A}\n1:name=systemd:/kubepods/besteffort/pod${POD}/${A}\n`,
    inContainer(null, POD),
  ],
  ['cgroupfs, guaranteed', `0::/kubepods/pod${POD}/${A}\n`, inContainer(null, POD)],
  [
    'a static pod, whose uid is a hash',
    `0::/kubepods/burstable/pod${'0f'.repeat(16)}/${A}\n`,
    inContainer(null, '0f'.repeat(16)),
  ],
  [
    'containerd with the cgroupfs driver under a systemd kubelet',
    `1:name=systemd:/system.slice/containerd.service/kubepods-burstable-pod${POD_}.slice:cri-containerd:${A}\n`,
    inContainer('containerd', POD),
  ],
  [
    'CRI-O, systemd driver',
    `0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD_}.slice/crio-${A}.scope\n`,
    inContainer('cri-o', POD),
  ],
  [
    'CRI-O, systemd driver, crun',
    `0::/kubepods.slice/kubepods-pod${POD_}.slice/crio-${A}.scope/container\n`,
    inContainer('cri-o', POD),
  ],
  ['CRI-O, cgroupfs', `0::/kubepods/besteffort/pod${POD}/crio-${A}\n`, inContainer('cri-o', POD)],
  [
    'the conmon of CRI-O',
    `0::/kubepods.slice/kubepods-pod${POD_}.slice/crio-conmon-${A}.scope\n`,
    {
      ...none,
      podUid: POD,
      systemd: { unit: `crio-conmon-${A}.scope`, slice: `kubepods-pod${POD_}.slice` },
    },
  ],
  ['CRI-O without a kubelet', `0::/system.slice/crio-${A}.scope\n`, inContainer('cri-o')],
  ['podman, root', `0::/machine.slice/libpod-${A}.scope/container\n`, inContainer('podman')],
  [
    'podman, rootless',
    `0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${A}.scope/container\n`,
    inContainer('podman'),
  ],
  ['podman, cgroupfs', `0::/libpod_parent/libpod-${A}\n`, inContainer('podman')],
  ['podman, cgroupfs, v1', `9:memory:/libpod_parent/libpod-${A}\n0::/\n`, inContainer('podman')],
  [
    'the conmon of podman',
    `0::/machine.slice/libpod-conmon-${A}.scope\n`,
    unit(`libpod-conmon-${A}.scope`, 'machine.slice'),
  ],
  ['the conmon of podman, cgroupfs', `0::/libpod_parent/conmon\n`, none],
  [
    'podman, split cgroups: the unit is the container’s own',
    `0::/system.slice/web.service/libpod-payload-${A}\n`,
    { ...inContainer('podman'), systemd: { unit: 'web.service', slice: 'system.slice' } },
  ],
  ['the conmon of that', '0::/system.slice/web.service/supervisor\n', unit('web.service', 'system.slice')],
  [
    'podman’s health check of a container',
    `0::/system.slice/${A}.service\n`,
    unit(`${A}.service`, 'system.slice'),
  ],
  [
    'ECS, v1',
    `11:memory:/ecs/0123456789abcdef0123456789abcdef/${A}\n1:name=systemd:/ecs/0123456789abcdef0123456789abcdef/${A}\n`,
    inContainer('ecs'),
  ],
  ['ECS, task with dashes', `11:memory:/ecs/${POD}/${A}\n`, inContainer('ecs')],
  ['ECS without a task', `11:memory:/ecs/${A}\n`, inContainer('ecs')],
  [
    'ECS, v2, systemd driver',
    `0::/ecstasks.slice/ecstasks-0123456789abcdef0123456789abcdef.slice/docker-${A}.scope\n`,
    inContainer('docker'),
  ],
  ['nerdctl', `0::/system.slice/nerdctl-${A}.scope\n`, inContainer('containerd')],
  ['containerd’s own k8s.io', `0::/k8s.io/${A}\n`, inContainer('containerd')],
  [
    'kind: a pod in a node in docker',
    `0::/system.slice/docker-${A}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${POD_}.slice/cri-containerd-${B}.scope\n`,
    inContainer('containerd', POD, B),
  ],
  [
    'kind, v1',
    `1:name=systemd:/docker/${A}/kubelet/kubepods/burstable/pod${POD}/${B}\n`,
    inContainer(null, POD, B),
  ],
  ['docker in docker', `0::/docker/${A}/docker/${B}\n`, inContainer('docker', null, B)],
  [
    'docker in docker where the inner one does not manage every hierarchy',
    `5:memory:/docker/${A}/docker/${B}\n1:name=systemd:/docker/${A}\n0::/docker/${A}\n`,
    inContainer('docker', null, B),
  ],
  ['docker in a pod', `0::/kubepods/burstable/pod${POD}/${A}/docker/${B}\n`, inContainer('docker', POD, B)],
  ['a sibling, read in a private cgroup namespace', `0::/../docker-${A}.scope\n`, inContainer('docker')],
  ['the same, cgroupfs', `0::/../${A}\n`, inContainer(null)],
  ['further out', `0::/../../kubepods/pod${POD}/${A}\n`, inContainer(null, POD)],
  ['a private cgroup namespace, from inside', '0::/\n', none],
  [
    'systemd in a container',
    `0::/system.slice/docker-${A}.scope/system.slice/nginx.service\n`,
    { ...inContainer('docker'), systemd: { unit: 'nginx.service', slice: 'system.slice' } },
  ],
  [
    'init of systemd in a container',
    `0::/machine.slice/libpod-${A}.scope/container/init.scope\n`,
    { ...inContainer('podman'), systemd: { unit: 'init.scope', slice: '-.slice' } },
  ],
  [
    'removed while the process ended',
    `0::/system.slice/docker-${A}.scope (deleted)\n`,
    inContainer('docker'),
  ],
  [
    'nspawn',
    '0::/machine.slice/machine-web.scope/payload/system.slice/nginx.service\n',
    unit('nginx.service', 'system.slice'),
  ],
  [
    'nspawn as a service, not booted',
    '0::/machine.slice/systemd-nspawn@web.service/payload\n',
    unit('systemd-nspawn@web.service', 'machine.slice'),
  ],
  ['lxc', '0::/lxc.payload.web/system.slice/cron.service\n', unit('cron.service', 'system.slice')],
  ['lxc, v1', '1:name=systemd:/lxc/web\n', none],
  ['a system unit', '0::/system.slice/ssh.service\n', unit('ssh.service', 'system.slice')],
  [
    'a system unit, v1',
    '12:pids:/system.slice/cron.service\n11:cpu,cpuacct:/\n1:name=systemd:/system.slice/cron.service\n',
    unit('cron.service', 'system.slice'),
  ],
  [
    'a system unit, hybrid',
    '4:memory:/system.slice\n1:name=systemd:/system.slice/cron.service\n0::/system.slice/cron.service\n',
    unit('cron.service', 'system.slice'),
  ],
  [
    'a template’s instance',
    '0::/system.slice/system-getty.slice/getty@tty1.service\n',
    unit('getty@tty1.service', 'system-getty.slice'),
  ],
  [
    'an escaped name stays as systemd writes it',
    '0::/system.slice/system-foo\\x2dbar.slice/foo-bar@a\\x2db.service\n',
    unit('foo-bar@a\\x2db.service', 'system-foo\\x2dbar.slice'),
  ],
  [
    'a name that the kernel would take for a file of its own',
    '0::/system.slice/_cpu.weird.service\n',
    unit('cpu.weird.service', 'system.slice'),
  ],
  [
    'a user unit',
    '0::/user.slice/user-1000.slice/user@1000.service/app.slice/backup.service\n',
    unit('backup.service', 'app.slice'),
  ],
  [
    'a user scope',
    '0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope\n',
    unit('vte-spawn-1.scope', 'app-org.gnome.Terminal.slice'),
  ],
  [
    'the user manager itself',
    '0::/user.slice/user-1000.slice/user@1000.service/init.scope\n',
    unit('init.scope', '-.slice'),
  ],
  ['a login', '0::/user.slice/user-0.slice/session-3.scope\n', unit('session-3.scope', 'user-0.slice')],
  ['pid 1', '0::/init.scope\n', unit('init.scope', '-.slice')],
  [
    'a delegated subgroup',
    '0::/system.slice/jenkins.service/jobs/17\n',
    unit('jenkins.service', 'system.slice'),
  ],
  ['directly in a slice', '0::/custom.slice\n', unit(null, 'custom.slice')],
  ['the root cgroup', '0::/\n', none],
  ['no cgroups in the kernel', '', none],
  ['v1 without systemd', '3:memory:/\n2:cpu:/batch/7\n', none],
];

describe('what a cgroup says', () => {
  for (const [name, text, expected] of LAYOUTS) {
    it(name, () => assert.deepEqual(cgroupFacts(cgroupPaths(text)), expected));
  }

  it('takes a bare list of paths, as the kernel gives them', () => {
    assert.deepEqual(cgroupFacts([`/system.slice/docker-${A}.scope`]), inContainer('docker'));
    assert.deepEqual(cgroupFacts(['/', '/system.slice/ssh.service']), unit('ssh.service', 'system.slice'));
    assert.deepEqual(cgroupFacts([]), none);
  });

  it('takes no near miss for a container', () => {
    for (const path of [
      `/docker/${A.slice(1)}`,
      `/docker/${A}0`,
      `/docker/${A.toUpperCase()}`,
      `/docker/x${A}`,
      `/docker/buildkit/abcdefghijklmnopqrstuvwxy`,
    ]) {
      assert.equal(cgroupFacts([path]).containerId, null, path);
    }
    assert.equal(cgroupFacts([`/kubepods/podnothing/${A}`]).podUid, null);
  });

  const element = fc.oneof(
    fc.constantFrom('..', '.', '', 'docker', 'ecs', 'kubepods', `docker-${A}.scope`, A, B, `pod${POD}`),
    fc.constantFrom('system.slice', 'a.service', 'init.scope', ':', `x:y:${A}`, `crio-conmon-${B}.scope`),
    fc.string(),
  );
  const path = fc.array(element, { maxLength: 12 }).map((elements) => `/${elements.join('/')}`);

  it('never throws, and gives what the contract takes', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(path, fc.string()), { maxLength: 6 }), (paths) => {
        const facts = cgroupFacts(paths);
        if (facts.containerId !== null) assert.match(facts.containerId, /^[0-9a-f]{64}$/);
        else assert.equal(facts.runtime, null);
        if (facts.podUid !== null) assert.match(facts.podUid, /^[0-9a-f-]{32,36}$/);
        if (facts.systemd !== null) assert.ok(facts.systemd.slice !== null);
      }),
    );
  });

  it('reads any text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const each of cgroupPaths(text)) assert.ok(each.startsWith('/') && text.includes(each));
      }),
    );
  });

  it('finds the innermost container below anything', () => {
    fc.assert(
      fc.property(path, (outer) => {
        assert.equal(cgroupFacts([`${outer.replaceAll(' (deleted)', '')}/docker-${B}.scope`]).containerId, B);
      }),
    );
  });

  it('stays linear on long paths', () => {
    const long = `/${'pod-'.repeat(8000)}/${'a-'.repeat(8000)}${A}x/${':a'.repeat(8000)}`;
    const before = process.threadCpuUsage();
    cgroupFacts([long]);
    assert.ok(process.threadCpuUsage(before).user < 1_000_000);
  });
});
