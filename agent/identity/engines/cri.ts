/**
 * containerd and CRI-O through the Kubernetes container runtime interface: gRPC on a unix socket, service
 * `runtime.v1.RuntimeService`. Method names and field numbers: k8s.io/cri-api, pkg/apis/runtime/v1/api.proto.
 *
 * Its event stream (GetContainerEvents) is left alone on purpose: in releases of both that are in use all
 * listeners share one queue, so that we would take events away from the kubelet (containerd issue 7318, cri-o
 * issue 6466). There is less need for it too: the kubelet keeps ended containers, and they can be looked up
 * meanwhile.
 */
import { createRequire } from 'node:module';
import type * as Grpc from '@grpc/grpc-js';
import {
  type ContainerNames,
  type EngineClient,
  nameOf,
  type PodNames,
  podFromLabels,
} from './engine_client.ts';
import { field, Message, mapField } from './protobuf.ts';

const SERVICE = '/runtime.v1.RuntimeService';
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** The connection is closed after this time without a look-up, and opened by the next. */
const IDLE_MS = 60_000;
/** Name of an image that a runtime knows by its content only. */
const IMAGE_ID = /^(?:sha256:)?[0-9a-f]{64}$/;

export class CriClient implements EngineClient {
  readonly #grpc: typeof Grpc;
  readonly #socketPath: string;
  #channel: Grpc.Client | null = null;
  #runtime: string | null = null;

  /** Loads gRPC, some 14 MB of resident memory: not to be made before there is something to ask. */
  constructor(socketPath: string) {
    this.#socketPath = socketPath;
    // Not by `import`: see DockerClient.
    this.#grpc = createRequire(import.meta.url)('@grpc/grpc-js');
  }

  async inspect(id: string, podUid: string | null, timeoutMs: number): Promise<ContainerNames | null> {
    const deadline = Date.now() + timeoutMs;
    this.#runtime ??= nameOf((await this.#ask('Version', Buffer.alloc(0), deadline)).string(2));
    const status = await this.#status(id, deadline);
    if (status === null) return this.#podOnly(id, podUid, deadline);
    const metadata = status.message(2);
    const labels = status.strings(12);
    const name = nameOf(metadata.string(1));
    const labelled = podFromLabels(labels);
    const pod = labelled?.name != null ? labelled : await this.#podOfContainer(id, name, deadline);
    return { id, name, image: imageOf(status), runtime: this.#runtime, pod };
  }

  /** `containerd v1.6.20` (VersionResponse: 2 runtime_name, 3 runtime_version). Rejects as `inspect` does. */
  async version(timeoutMs: number): Promise<string> {
    const answer = await this.#ask('Version', Buffer.alloc(0), Date.now() + timeoutMs);
    return `${nameOf(answer.string(2)) ?? 'a runtime'} ${nameOf(answer.string(3)) ?? 'of an unknown version'}`;
  }

  close(): void {
    this.#channel?.close();
    this.#channel = null;
  }

  /** Resolves null when the runtime has no such container. */
  async #status(id: string, deadline: number): Promise<Message | null> {
    try {
      const answer = await this.#ask('ContainerStatus', field(1, id), deadline);
      const status = answer.message(1);
      if (status.string(1) !== id) throw new Error('answered with another container');
      return status;
    } catch (error) {
      if ((error as Grpc.ServiceError).code === this.#grpc.status.NOT_FOUND) return null;
      throw error;
    }
  }

  /** Finds the pod by container and sandbox, for clients that label only the sandbox (crictl). */
  async #podOfContainer(id: string, container: string | null, deadline: number): Promise<PodNames | null> {
    const list = await this.#ask('ListContainers', field(1, field(1, id)), deadline);
    const sandboxId =
      list
        .messages(1)
        .find((each) => each.string(1) === id)
        ?.string(2) ?? '';
    return sandboxId === '' ? null : this.#podOfSandbox(field(1, sandboxId), container, deadline);
  }

  /** The id may be that of a pod's sandbox, or of a container that another engine runs inside of the pod. */
  async #podOnly(id: string, podUid: string | null, deadline: number): Promise<ContainerNames | null> {
    const pod =
      (await this.#podOfSandbox(field(1, id), null, deadline)) ??
      (podUid === null
        ? null
        : await this.#podOfSandbox(mapField(3, { 'io.kubernetes.pod.uid': podUid }), null, deadline));
    return pod === null ? null : { id, name: null, image: null, runtime: null, pod };
  }

  /** @param filter a PodSandboxFilter: 1 id, 3 label_selector. */
  async #podOfSandbox(filter: Buffer, container: string | null, deadline: number): Promise<PodNames | null> {
    const answer = await this.#ask('ListPodSandbox', field(1, filter), deadline);
    const sandbox = answer.messages(1)[0];
    if (sandbox === undefined) return null;
    const metadata = sandbox.message(2);
    return {
      uid: nameOf(metadata.string(2)),
      name: nameOf(metadata.string(1)),
      namespace: nameOf(metadata.string(3)),
      container,
    };
  }

  #ask(method: string, request: Buffer, deadline: number): Promise<Message> {
    this.#channel ??= this.#connect();
    const channel = this.#channel;
    return new Promise((resolve, reject) => {
      channel.makeUnaryRequest(
        `${SERVICE}/${method}`,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => new Message(bytes),
        request,
        { deadline },
        (error, answer) => {
          if (answer !== undefined && !error) return resolve(answer);
          // A channel that has lost its engine waits longer and longer: the next question begins with a new
          // one.
          if (error?.code === this.#grpc.status.UNAVAILABLE && this.#channel === channel) this.close();
          reject(error ?? new Error('answered nothing'));
        },
      );
    });
  }

  #connect(): Grpc.Client {
    return new this.#grpc.Client(`unix:${this.#socketPath}`, this.#grpc.credentials.createInsecure(), {
      'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
      'grpc.client_idle_timeout_ms': IDLE_MS,
      'grpc.enable_retries': 0,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_http_proxy': 0,
    });
  }
}

/** ContainerStatus: 8 image (ImageSpec: 1 image, 18 user_specified_image), 9 image_ref. */
function imageOf(status: Message): string | null {
  const spec = status.message(8);
  const candidates = [spec.string(18), spec.string(1), status.string(9)];
  return nameOf(
    candidates.find((each) => each !== '' && !IMAGE_ID.test(each)) ?? candidates.find((each) => each !== ''),
  );
}
