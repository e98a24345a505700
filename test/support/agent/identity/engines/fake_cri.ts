/** A container runtime that never was: a real gRPC server on a unix socket. */
import * as grpc from '@grpc/grpc-js';
import { field, Message, mapField } from '../../../../../agent/identity/engines/protobuf.ts';

export interface FakeSandbox {
  id: string;
  uid: string;
  name: string;
  namespace: string;
}

export interface FakeCriContainer {
  id: string;
  sandbox: FakeSandbox;
  name: string;
  image: string;
  userImage?: string;
  /** The kubelet gives its labels to containers too, crictl to sandboxes alone. */
  labels?: Record<string, string>;
}

type Handler = (request: Message) => Buffer;

export class FakeCri {
  readonly socketPath: string;
  readonly containers = new Map<string, FakeCriContainer>();
  readonly asked: string[] = [];
  runtimeName = 'containerd';
  /** Takes the place of every answer; null answers nothing, ever. */
  fault: (() => Buffer | null) | null = null;
  #server: grpc.Server | null = null;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  start(): Promise<void> {
    const server = new grpc.Server();
    const handlers: Record<string, Handler> = {
      Version: () => Buffer.concat([field(1, '0.1.0'), field(2, this.runtimeName), field(4, 'v1')]),
      ContainerStatus: (request) => this.#status(request.string(1)),
      ListContainers: (request) => this.#list(request.message(1).string(1)),
      ListPodSandbox: (request) => this.#sandboxes(request.message(1)),
    };
    const identity = (bytes: Buffer) => bytes;
    server.addService(
      Object.fromEntries(
        Object.keys(handlers).map((name) => [
          name,
          {
            path: `/runtime.v1.RuntimeService/${name}`,
            requestStream: false,
            responseStream: false,
            requestSerialize: identity,
            requestDeserialize: (bytes: Buffer) => new Message(bytes),
            responseSerialize: identity,
            responseDeserialize: identity,
          },
        ]),
      ),
      Object.fromEntries(
        Object.entries(handlers).map(([name, handler]) => [
          name,
          (call: grpc.ServerUnaryCall<Message, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
            this.asked.push(name);
            try {
              const answer = this.fault === null ? handler(call.request) : this.fault();
              if (answer !== null) callback(null, answer);
            } catch (error) {
              callback(error as grpc.ServiceError);
            }
          },
        ]),
      ),
    );
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.bindAsync(`unix:${this.socketPath}`, grpc.ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      );
    });
  }

  stop(): void {
    this.#server?.forceShutdown();
    this.#server = null;
  }

  #status(id: string): Buffer {
    const container = this.containers.get(id);
    if (container === undefined) {
      throw Object.assign(new Error('not found'), { code: grpc.status.NOT_FOUND, details: 'not found' });
    }
    return field(
      1,
      Buffer.concat([
        field(1, container.id),
        field(2, field(1, container.name)),
        // created_at, a varint that is to be passed over.
        Buffer.from([0x20, 0x80, 0x80, 0x01]),
        field(8, Buffer.concat([field(1, container.image), field(18, container.userImage ?? '')])),
        field(9, `sha256:${'c'.repeat(64)}`),
        mapField(12, container.labels ?? {}),
      ]),
    );
  }

  #list(id: string): Buffer {
    const container = this.containers.get(id);
    if (container === undefined) return Buffer.alloc(0);
    return field(1, Buffer.concat([field(1, id), field(2, container.sandbox.id)]));
  }

  #sandboxes(filter: Message): Buffer {
    const id = filter.string(1);
    const uid = filter.strings(3)['io.kubernetes.pod.uid'];
    const found = [...this.containers.values()]
      .map((container) => container.sandbox)
      .filter((sandbox) => (id === '' || sandbox.id === id) && (uid === undefined || sandbox.uid === uid));
    return Buffer.concat(
      found.map((sandbox) =>
        field(
          1,
          Buffer.concat([
            field(1, sandbox.id),
            field(
              2,
              Buffer.concat([field(1, sandbox.name), field(2, sandbox.uid), field(3, sandbox.namespace)]),
            ),
          ]),
        ),
      ),
    );
  }
}
