/** A Docker Engine that never was: real HTTP on a unix socket, with faults on demand. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface FakeContainer {
  id: string;
  name: string;
  image?: string;
  labels?: Record<string, string>;
}

export class FakeDocker {
  readonly socketPath: string;
  readonly containers = new Map<string, FakeContainer>();
  /** Every path that was asked for, without its query. */
  readonly asked: string[] = [];
  serverHeader = 'Docker/27.1.1 (linux)';
  /** Takes the place of the answer to `inspect`. */
  inspectFault: ((response: ServerResponse) => void) | null = null;
  /** Sends the head of the event stream only with the first event. */
  isLateWithHead = false;
  readonly #streams = new Set<ServerResponse>();
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;
  #onFollower: (() => void)[] = [];

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  start(): Promise<void> {
    const server = createServer((request, response) => this.#answer(request, response));
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server = server;
    return new Promise((resolve) => server.listen(this.socketPath, resolve));
  }

  /** Ends as a daemon does: its connections break and its socket is gone. */
  stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => (server ? server.close(() => resolve()) : resolve()));
  }

  get followers(): number {
    return this.#streams.size;
  }

  /** When somebody listens for events. */
  async followed(): Promise<void> {
    if (this.#streams.size > 0) return;
    await new Promise<void>((resolve) => this.#onFollower.push(resolve));
  }

  event(action: string, container: FakeContainer): void {
    const { id, name, image = 'img:1', labels = {} } = container;
    this.say(
      `${JSON.stringify({ Type: 'container', Action: action, Actor: { ID: id, Attributes: { ...labels, image, name } } })}\n`,
    );
  }

  /** Anything at all on the event stream. */
  say(content: string | Uint8Array): void {
    for (const stream of this.#streams) stream.write(content);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? '').split('?')[0]!;
    this.asked.push(path);
    response.setHeader('Server', this.serverHeader);
    if (path === '/events') {
      this.#streams.add(response);
      response.on('close', () => this.#streams.delete(response));
      response.setHeader('Content-Type', 'application/json');
      if (!this.isLateWithHead) response.flushHeaders();
      for (const each of this.#onFollower.splice(0)) each();
      return;
    }
    if (path === '/containers/json') {
      const list = [...this.containers.values()].map(({ id, name, image, labels }) => ({
        Id: id,
        Names: [`/web/${name}-alias`, `/${name}`],
        Image: image ?? 'img:1',
        Labels: labels ?? {},
      }));
      response.end(JSON.stringify(list));
      return;
    }
    const id = /^\/containers\/([0-9a-f]{64})\/json$/.exec(path)?.[1];
    const container = id === undefined ? undefined : this.containers.get(id);
    if (this.inspectFault !== null) {
      this.inspectFault(response);
      return;
    }
    if (container === undefined) {
      response.statusCode = 404;
      response.end(JSON.stringify({ message: 'No such container' }));
      return;
    }
    const { name, image = 'img:1', labels = {} } = container;
    response.end(
      JSON.stringify({
        Id: id,
        Name: `/${name}`,
        Config: { Image: image, Labels: labels, Env: ['SECRET=1'] },
      }),
    );
  }
}
