/**
 * The container runtime interface (k8s.io/cri-api, runtime/v1/api.proto) as a kubelet speaks it, as far as the lab needs
 * it: unary gRPC calls over HTTP/2 on a Unix socket (gRPC's PROTOCOL-HTTP2).
 */
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { decode, encode, type Message } from './protobuf.ts';

const SERVICE = '/runtime.v1.RuntimeService';
const TIMEOUT_MS = 30_000;
const PREFIX_BYTES = 5;
/** NamespaceMode: the pod's own, or the node's. */
const NODE = 2;
/** ContainerState. */
const EXITED = 2;

export interface PodSpec {
  name: string;
  namespace: string;
  uid: string;
  hostNetwork: boolean;
  labels: Record<string, string>;
  /** Parent of the pod's cgroup, such as `/kubepods/besteffort/podUID`. */
  cgroupParent: string;
}

export interface PodContainerSpec {
  name: string;
  image: string;
  argv: readonly string[];
  env: Record<string, string>;
  labels: Record<string, string>;
}

export class CriApi {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  /** A connection a call: the lab makes few. Rejects with gRPC's status and message. */
  async #ask(method: string, message: Message): Promise<Map<number, number | Buffer>> {
    const session = connectHttp2('http://localhost', { createConnection: () => connect(this.#socket) });
    const { promise, resolve, reject } = Promise.withResolvers<Map<number, number | Buffer>>();
    session.on('error', reject);
    const timer = setTimeout(() => session.destroy(new Error(`${method}: no answer in time`)), TIMEOUT_MS);
    const asked = session.request({
      ':method': 'POST',
      ':path': `${SERVICE}/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const answer: Buffer[] = [];
    let status: unknown = 'none';
    let words: unknown = '';
    const note = (headers: Record<string, unknown>) => {
      status = headers['grpc-status'] ?? status;
      words = headers['grpc-message'] ?? words;
    };
    asked.on('response', note).on('trailers', note).on('error', reject);
    asked.on('data', (chunk: Buffer) => answer.push(chunk));
    asked.on('end', () => {
      if (status === '0') resolve(decode(Buffer.concat(answer).subarray(PREFIX_BYTES)));
      else reject(new Error(`${method}: gRPC status ${status}: ${decodeURIComponent(String(words))}`));
    });
    const body = encode(message);
    const prefix = Buffer.alloc(PREFIX_BYTES); // not compressed, then the length
    prefix.writeUInt32BE(body.length, 1);
    asked.end(Buffer.concat([prefix, body]));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      session.destroy();
    }
  }

  /** Rejects as long as the runtime is not ready for pods (RuntimeReady and NetworkReady). */
  async version(): Promise<void> {
    await this.#ask('Version', { 1: 'v1' });
  }

  async runPod(spec: PodSpec): Promise<string> {
    return text((await this.#ask('RunPodSandbox', { 1: sandbox(spec) })).get(1));
  }

  async startContainer(podId: string, pod: PodSpec, spec: PodContainerSpec): Promise<string> {
    const config: Message = {
      1: { 1: spec.name },
      2: { 1: spec.image },
      3: spec.argv,
      6: Object.entries(spec.env).map(([name, value]) => ({ 1: name, 2: value })),
      9: new Map(Object.entries(spec.labels)),
      15: { 2: { 3: namespaces(pod) } },
    };
    const made = await this.#ask('CreateContainer', { 1: podId, 2: config, 3: sandbox(pod) });
    const id = text(made.get(1));
    await this.#ask('StartContainer', { 1: id });
    return id;
  }

  /** Its exit status; null while it runs. */
  async exitStatus(id: string): Promise<number | null> {
    const answer = await this.#ask('ContainerStatus', { 1: id });
    const status = decode(answer.get(1) as Buffer);
    // A default value is not sent.
    return status.get(3) === EXITED ? ((status.get(7) as number | undefined) ?? 0) : null;
  }

  /** Returns what only the runtime itself knows (`verbose`), as containerd gives it: JSON under `info`. */
  async containerPid(id: string): Promise<number | null> {
    return pidOf(await this.#ask('ContainerStatus', { 1: id, 2: true }));
  }

  /** The pod's address; null on the host's network. */
  async podAddress(podId: string): Promise<string | null> {
    const status = decode((await this.#ask('PodSandboxStatus', { 1: podId })).get(1) as Buffer);
    const network = status.get(5);
    return network instanceof Buffer ? text(decode(network).get(1)) || null : null;
  }

  /** With all its containers. */
  async removePod(podId: string): Promise<void> {
    await this.#ask('StopPodSandbox', { 1: podId });
    await this.#ask('RemovePodSandbox', { 1: podId });
  }
}

function sandbox(pod: PodSpec): Message {
  return {
    1: { 1: pod.name, 2: pod.uid, 3: pod.namespace },
    2: pod.hostNetwork ? undefined : pod.name,
    6: new Map(Object.entries(pod.labels)),
    8: { 1: pod.cgroupParent, 2: { 1: namespaces(pod) } },
  };
}

function namespaces({ hostNetwork }: PodSpec): Message {
  return { 1: hostNetwork ? NODE : undefined };
}

function pidOf(answer: Map<number, number | Buffer>): number | null {
  const entry = answer.get(2);
  if (!(entry instanceof Buffer)) return null;
  const { pid } = JSON.parse(text(decode(entry).get(2)) || '{}') as { pid?: number };
  return pid !== undefined && pid > 0 ? pid : null;
}

function text(value: number | Buffer | undefined): string {
  return value instanceof Buffer ? value.toString() : '';
}
