/** containerd inside a lab, used as a kubelet uses it: pods with Kubernetes' labels, through the CRI. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { MadeCgroups } from '../../../lab/engines/cgroups.ts';
import type { LabContainer, Started } from '../../../lab/engines/container.ts';
import { startDaemon } from '../../../lab/engines/daemon.ts';
import { LAB_IMAGE, LAB_VARIABLE, labImage } from '../../../lab/engines/image.ts';
import { missingHere, programPath } from '../../../lab/engines/need.ts';
import type { Lab, LabPart, LabProcess } from '../../../lab/lab.ts';
import { setSysctl } from '../../../lab/namespaces.ts';
import { CriApi, type PodSpec } from './cri_api.ts';

const execFileAsync = promisify(execFile);
const START_TIMEOUT_MS = 60_000;
const RECHECK_MS = 20;
const CNI_DIRECTORY = '/usr/lib/cni';
const PLUGINS = ['bridge', 'host-local', 'loopback'].map((name) => ({
  path: join(CNI_DIRECTORY, name),
  debianPackage: 'containernetworking-plugins',
}));
const POD_SUBNET = '10.244.0.0/24';
/** The default namespace of everything that comes through the CRI. */
const CRI_NAMESPACE = 'k8s.io';

export interface LabPodSpec {
  podName: string;
  namespace: string;
  containerName: string;
  argv: readonly string[];
  hostNetwork?: boolean;
}

export interface LabPod extends LabContainer {
  readonly podUid: string;
  readonly podName: string;
  readonly namespace: string;
  readonly containerName: string;
}

export class Containerd implements LabPart {
  readonly runtime = 'containerd';
  readonly socket: string;
  readonly #lab: Lab;
  readonly #api: CriApi;
  readonly #cgroups: MadeCgroups;
  readonly #pods = new Set<string>();
  #daemon: LabProcess | null = null;

  private constructor(lab: Lab, socket: string) {
    this.#lab = lab;
    this.socket = socket;
    this.#api = new CriApi(socket);
    this.#cgroups = new MadeCgroups(lab.home, ['kubepods', 'kubepods/besteffort']);
  }

  /** Used by `startContainerd`. */
  static async start(lab: Lab, home: string): Promise<Containerd> {
    const containerd = new Containerd(lab, join(home, 'containerd.sock'));
    lab.addPart(containerd);
    try {
      await containerd.#start(home);
      return containerd;
    } catch (error) {
      await containerd.close();
      throw error;
    }
  }

  async #start(home: string): Promise<void> {
    const image = await labImage(this.#lab);
    const config = join(home, 'config.toml');
    writeFileSync(config, configuration(home, this.socket));
    mkdirSync(join(home, 'networks'), { recursive: true });
    writeFileSync(join(home, 'networks/10-pods.conflist'), JSON.stringify(podNetwork(home)));
    this.#daemon = await startDaemon(this.#lab, {
      name: 'containerd',
      argv: [programPath('containerd')!, '--config', config],
      answers: () => this.#api.version(),
      timeoutMs: START_TIMEOUT_MS,
    });
    const ctr = ['--address', this.socket, '--namespace', CRI_NAMESPACE];
    await execFileAsync(programPath('ctr')!, [...ctr, 'images', 'import', image.archive]);
  }

  /** A pod with one container. Resolves when the container runs. */
  async run(spec: LabPodSpec): Promise<LabPod> {
    const podUid = randomUUID();
    const cgroupParent = `kubepods/besteffort/pod${podUid}`;
    // Holds what a kubelet sets (pkg/kubelet/types/labels.go).
    const labels = {
      'io.kubernetes.pod.name': spec.podName,
      'io.kubernetes.pod.namespace': spec.namespace,
      'io.kubernetes.pod.uid': podUid,
    };
    const pod: PodSpec = {
      name: spec.podName,
      namespace: spec.namespace,
      uid: podUid,
      hostNetwork: spec.hostNetwork ?? false,
      labels,
      cgroupParent: `/${cgroupParent}`,
    };
    this.#cgroups.add(cgroupParent);
    const podId = await this.#api.runPod(pod);
    this.#pods.add(podId);
    const id = await this.#api.startContainer(podId, pod, {
      name: spec.containerName,
      image: LAB_IMAGE,
      argv: spec.argv,
      env: { [LAB_VARIABLE]: this.#lab.tag },
      labels: { ...labels, 'io.kubernetes.container.name': spec.containerName },
    });
    const pid = await this.#api.containerPid(id);
    const address = pod.hostNetwork ? null : await this.#api.podAddress(podId);
    const { podName, namespace, containerName } = spec;
    return {
      ...{ id, podUid, podName, namespace, containerName, pid, address },
      name: containerName,
      image: LAB_IMAGE,
      runtime: this.runtime,
      wait: () => this.#wait(id),
      remove: async () => {
        if (this.#pods.delete(podId)) await this.#api.removePod(podId);
      },
    };
  }

  async #wait(id: string): Promise<{ status: number; output: string }> {
    for (;;) {
      const status = await this.#api.exitStatus(id);
      if (status !== null) return { status, output: '' };
      await sleep(RECHECK_MS);
    }
  }

  /** Ends its pods and the daemon. Safe to call again. */
  async close(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    if (daemon === null) return;
    for (const id of this.#pods) {
      // Processes that fail to end here are ended by force with the lab.
      await this.#api.removePod(id).catch(({ message }) => process.stderr.write(`containerd: ${message}\n`));
    }
    this.#pods.clear();
    await daemon.stop();
    this.closeNow();
  }

  /** Returns what is left when all its processes have been ended. */
  closeNow(): void {
    for (const path of this.#cgroups.remove()) process.stderr.write(`The lab could not remove ${path}\n`);
  }
}

/** Starts containerd in the lab's host namespace. Throws when it is there but does not come up within 20 s. */
export async function startContainerd(lab: Lab): Promise<Started<Containerd>> {
  const needs = ['containerd', 'ctr', 'runc', 'iptables', 'busybox', 'cc', 'unshare', 'tar'] as const;
  const why = missingHere(needs, PLUGINS);
  if (why !== null) return { engine: null, notAvailable: why };
  const home = join(lab.home, 'containerd');
  mkdirSync(home, { recursive: true });
  setSysctl(lab.hostNamespace, 'net/ipv4/ip_forward', '1');
  return { engine: await Containerd.start(lab, home), notAvailable: null };
}

function configuration(home: string, socket: string): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  const text = (value: string) => JSON.stringify(value); // TOML's basic strings are JSON's
  return `version = 2
root = ${text(join(home, 'root'))}
[grpc]
  address = ${text(socket)}
[${cri}]
  # Nothing is ever pulled: the pause container is our own image too.
  sandbox_image = ${text(LAB_IMAGE)}
  # A pause container is to be spared when memory runs out, which root may not ask for everywhere.
  restrict_oom_score_adj = true
[${cri}.containerd]
  snapshotter = "native"
[${cri}.cni]
  bin_dir = ${text(CNI_DIRECTORY)}
  conf_dir = ${text(join(home, 'networks'))}
[plugins."io.containerd.internal.v1.opt"]
  path = ${text(join(home, 'opt'))}
`;
}

function podNetwork(home: string) {
  const ipam = {
    type: 'host-local',
    ranges: [[{ subnet: POD_SUBNET }]],
    routes: [{ dst: '0.0.0.0/0' }],
    dataDir: join(home, 'addresses'),
  };
  const bridge = { type: 'bridge', bridge: 'cni0', isGateway: true, ipMasq: true, ipam };
  return { cniVersion: '0.4.0', name: 'pods', plugins: [bridge] };
}
