/** Runs Docker or Podman: one daemon in the lab's host namespace, which is controlled over its socket. */
import { dirname, join } from 'node:path';
import type { Lab, LabPart, LabProcess } from '../lab.ts';
import { SDKS_DIR } from '../programs.ts';
import { MadeCgroups } from './cgroups.ts';
import type { ContainerSpec, Engine, LabContainer } from './container.ts';
import { type DaemonOptions, startDaemon } from './daemon.ts';
import { DockerApi } from './docker_api.ts';
import { LAB_VARIABLE, type LabImage, labImage } from './image.ts';

const PROJECT = join(import.meta.dirname, '../..');
/** Directories that are mounted, with a merged /usr and without. The image has none of them. */
const MACHINE_DIRECTORIES = ['/usr', '/lib', '/lib64'];

const ULIMITS = ['nofile', 'nproc'].map((Name) => ({ Name, Soft: 1024, Hard: 4096 }));

export interface SocketEngineOptions extends Omit<DaemonOptions, 'answers'> {
  runtime: string;
  socket: string;
  /** Cgroups of all its containers that it leaves behind, such as `docker`. */
  cgroupParents: readonly string[];
  /** Cgroups that one container may leave behind when it is killed, such as `docker/ID`. */
  cgroupsOf: (id: string) => string[];
}

export class SocketEngine implements Engine, LabPart {
  readonly runtime: string;
  readonly socket: string;
  readonly #lab: Lab;
  readonly #options: SocketEngineOptions;
  readonly #api: DockerApi;
  readonly #cgroups: MadeCgroups;
  readonly #containers = new Set<string>();
  #image: LabImage | null = null;
  #daemon: LabProcess | null = null;
  #count = 0;

  private constructor(lab: Lab, options: SocketEngineOptions) {
    this.runtime = options.runtime;
    this.socket = options.socket;
    this.#lab = lab;
    this.#options = options;
    this.#api = new DockerApi(options.socket);
    this.#cgroups = new MadeCgroups(lab.home, options.cgroupParents);
  }

  /**
   * Starts the daemon and loads the lab's image. Throws if it does not start; nothing is left running then.
   */
  static async start(lab: Lab, options: SocketEngineOptions): Promise<SocketEngine> {
    const engine = new SocketEngine(lab, options);
    lab.addPart(engine);
    try {
      const image = await labImage(lab);
      engine.#daemon = await startDaemon(lab, { ...options, answers: () => engine.#api.ping() });
      await engine.#api.load(image.archive);
      engine.#image = image;
      return engine;
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  /** Resolves when the container runs. Throws with the engine's error message. */
  async run(spec: ContainerSpec): Promise<LabContainer> {
    if (this.#image === null) throw new Error(`${this.runtime} is not started`);
    const image = this.#image.name;
    const id = await this.#api.create(spec.name ?? `${this.#lab.tag}-${++this.#count}`, {
      Image: image,
      Cmd: spec.argv,
      Env: Object.entries(this.#env(spec)).map(([name, value]) => `${name}=${value}`),
      Labels: spec.labels ?? {},
      HostConfig: {
        NetworkMode: spec.network ?? 'bridge',
        ...(spec.cgroupns && { CgroupnsMode: spec.cgroupns }),
        // The default of Podman may be above a hard limit that also applies to root.
        Ulimits: ULIMITS,
        Binds: spec.machinePrograms ? machineBinds() : [],
      },
    });
    this.#containers.add(id);
    for (const path of this.#options.cgroupsOf(id)) this.#cgroups.add(path);
    await this.#api.start(id);
    const api = this.#api;
    const found = await api.inspect(id);
    return {
      ...found,
      image,
      runtime: this.runtime,
      wait: async () => ({ status: await api.wait(id), output: await api.output(id) }),
      remove: async () => {
        if (this.#containers.delete(id)) await api.remove(id);
      },
    };
  }

  #env(spec: ContainerSpec): Record<string, string> {
    const path = spec.machinePrograms ? { PATH: '/usr/sbin:/usr/bin:/bin' } : {};
    return { [LAB_VARIABLE]: this.#lab.tag, ...path, ...spec.env };
  }

  /** Ends its containers and the daemon. Safe to call again. */
  async close(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    if (daemon === null) return;
    // The last comes first, because a later one may use the network of an earlier one. The lab kills what
    // fails here.
    for (const id of [...this.#containers].toReversed()) {
      await this.#api
        .remove(id)
        .catch(({ message }) => process.stderr.write(`${this.runtime}: ${message}\n`));
    }
    this.#containers.clear();
    await daemon.stop();
    this.closeNow();
  }

  /** Removes what is left after all its processes were killed. */
  closeNow(): void {
    for (const path of this.#cgroups.remove()) process.stderr.write(`The lab could not remove ${path}\n`);
  }
}

/** Returns the directories with which a container can run the machine's programs and the lab's clients, for Docker. */
export function machineBinds(): string[] {
  const directories = [...MACHINE_DIRECTORIES, PROJECT, SDKS_DIR, dirname(dirname(process.execPath))];
  // A path below another one is mounted with it. No mount point could be made there, because it is read-only.
  return directories
    .filter((path) => !directories.some((other) => path !== other && path.startsWith(`${other}/`)))
    .filter((path, index, all) => all.indexOf(path) === index)
    .map((path) => `${path}:${path}:ro`);
}
