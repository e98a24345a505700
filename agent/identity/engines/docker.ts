/**
 * Docker Engine and Podman (whose API is compatible) on their unix sockets. Paths without a version mean the
 * engine's own. Sources: Docker Engine API reference, v1.24 and later (`/containers/{id}/json`,
 * `/containers/json`, `/events`).
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import {
  type ContainerNames,
  type EngineClient,
  type EngineSink,
  nameOf,
  podFromLabels,
} from './engine_client.ts';

/** One container's description is some 10 KiB; a list of a thousand some 2 MiB. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const MAX_EVENT_CHARS = 1024 * 1024;
const MAX_CONNECTIONS = 8;
const LIST_TIMEOUT_MS = 10_000;
/** Some versions send the head of an event stream only with its first event. */
const STREAM_HEAD_WAIT_MS = 1_000;
const EVENT_FILTERS = encodeURIComponent(
  JSON.stringify({ type: ['container'], event: ['create', 'start', 'rename', 'die'] }),
);

type Http = typeof import('node:http');
type Json = Record<string, unknown>;

interface Answer {
  status: number;
  runtime: string | null;
  body: unknown;
}

export class DockerClient implements EngineClient {
  readonly #socketPath: string;
  readonly #http: Http;
  readonly #agent: InstanceType<Http['Agent']>;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
    // Not by `import`, which reads every export and with them loads fetch: 17 MB resident instead of 3.
    this.#http = createRequire(import.meta.url)('node:http');
    this.#agent = new this.#http.Agent({ keepAlive: false, maxSockets: MAX_CONNECTIONS });
  }

  async inspect(id: string, _podUid: string | null, timeoutMs: number): Promise<ContainerNames | null> {
    const { status, runtime, body } = await this.#get(`/containers/${id}/json`, timeoutMs);
    if (status === 404) return null;
    if (status !== 200) throw new Error(`answered ${status}`);
    const container = objectOf(body);
    const config = objectOf(container['Config']);
    if (container['Id'] !== id) throw new Error('answered with another container');
    return {
      id,
      name: withoutSlash(nameOf(container['Name'])),
      image: nameOf(config['Image']) ?? nameOf(container['ImageName']),
      runtime,
      pod: podFromLabels(objectOf(config['Labels'])),
    };
  }

  /** `docker 27.1.1`. Rejects as `inspect` does. */
  async version(timeoutMs: number): Promise<string> {
    const { status, runtime, body } = await this.#get('/version', timeoutMs);
    if (status !== 200) throw new Error(`answered ${status}`);
    return `${runtime ?? 'docker'} ${nameOf(objectOf(body)['Version']) ?? 'of an unknown version'}`;
  }

  async follow(sink: EngineSink, signal: AbortSignal): Promise<never> {
    const stream = new EventStream(this.#http, this.#socketPath, sink, signal);
    try {
      // First the stream and then the list, so that nothing begins between them unseen.
      await stream.opened;
      await Promise.race([this.#tellRunning(sink), stream.ended]);
      sink.live();
      return await stream.ended;
    } finally {
      stream.close();
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  async #tellRunning(sink: EngineSink): Promise<void> {
    const { status, runtime, body } = await this.#get('/containers/json', LIST_TIMEOUT_MS);
    if (status !== 200 || !Array.isArray(body))
      throw new Error(`answered ${status} when asked for its containers`);
    for (const each of body) {
      const container = objectOf(each);
      const id = idOf(container['Id']);
      const names = Array.isArray(container['Names']) ? container['Names'] : [];
      // A name with a second slash is what a linked container calls this one.
      const name = names.find((one) => typeof one === 'string' && one.lastIndexOf('/') <= 0);
      const image = nameOf(container['Image']);
      // An id in place of an image's name: the tag has moved on, and only `inspect` says what it was.
      if (id === null || image === null || image.startsWith('sha256:')) continue;
      const pod = podFromLabels(objectOf(container['Labels']));
      sink.known({ id, name: withoutSlash(nameOf(name)), image, runtime, pod });
    }
  }

  #get(path: string, timeoutMs: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = this.#http.request(
        { socketPath: this.#socketPath, path, agent: this.#agent, headers: { host: 'localhost' } },
        (response) => {
          const chunks: Buffer[] = [];
          let bytes = 0;
          response.on('data', (chunk: Buffer) => {
            bytes += chunk.length;
            if (bytes > MAX_ANSWER_BYTES)
              request.destroy(new Error(`answered more than ${MAX_ANSWER_BYTES} bytes`));
            else chunks.push(chunk);
          });
          response.on('error', reject);
          response.on('aborted', () => reject(new Error('broke off its answer')));
          response.on('end', () => {
            try {
              const status = response.statusCode ?? 0;
              const body = status === 200 ? jsonOf(Buffer.concat(chunks).toString('utf8')) : null;
              resolve({ status, runtime: runtimeOf(response), body });
            } catch (error) {
              reject(error);
            }
          });
        },
      );
      // For the whole exchange and the wait for a free connection; a socket's own time-out would only bound
      // silences.
      const timer = setTimeout(() => request.destroy(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
      request.on('close', () => clearTimeout(timer));
      request.on('error', reject);
      request.end();
    });
  }
}

/** `/events`: one JSON object a line, for as long as the engine lives. */
class EventStream {
  readonly opened: Promise<void>;
  /** Rejects when the stream has ended, whatever ended it. */
  readonly ended: Promise<never>;
  readonly #request: ClientRequest;
  readonly #sink: EngineSink;
  #rest = '';

  constructor(http: Http, socketPath: string, sink: EngineSink, signal: AbortSignal) {
    this.#sink = sink;
    const opened = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<never>();
    this.opened = opened.promise;
    this.ended = ended.promise;
    this.#request = http.request({
      socketPath,
      path: `/events?filters=${EVENT_FILTERS}`,
      agent: false,
      headers: { host: 'localhost' },
      signal,
    });
    const end = (reason: Error) => {
      opened.reject(reason);
      ended.reject(reason);
    };
    let headTimer: NodeJS.Timeout | undefined;
    this.#request.on('socket', (socket) => {
      socket.once('connect', () => {
        headTimer = setTimeout(opened.resolve, STREAM_HEAD_WAIT_MS);
      });
    });
    this.#request.on('response', (response) => {
      if (response.statusCode !== 200)
        end(new Error(`answered ${response.statusCode} when asked for events`));
      else opened.resolve();
      const runtime = runtimeOf(response);
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        try {
          this.#take(text, runtime);
        } catch (error) {
          end(error instanceof Error ? error : new Error(String(error)));
        }
      });
      response.on('error', end);
    });
    this.#request.on('error', end);
    this.#request.on('close', () => {
      clearTimeout(headTimer);
      end(new Error('ended its event stream'));
    });
    // Whoever follows waits for one of them at a time; the other's rejection is the same news.
    this.opened.catch(() => {});
    this.ended.catch(() => {});
    this.#request.end();
  }

  close(): void {
    this.#request.destroy();
  }

  #take(text: string, runtime: string | null): void {
    this.#rest += text;
    for (;;) {
      const newline = this.#rest.indexOf('\n');
      if (newline < 0) break;
      const line = this.#rest.slice(0, newline).trim();
      this.#rest = this.#rest.slice(newline + 1);
      if (line === '') continue;
      const names = namesOfEvent(jsonOf(line), runtime);
      if (names !== null) this.#sink.known(names);
    }
    if (this.#rest.length > MAX_EVENT_CHARS)
      throw new Error(`sent an event of more than ${MAX_EVENT_CHARS} characters`);
  }
}

/**
 * An event carries the container's name, its image and all its labels as `Actor.Attributes`: nothing is left
 * to ask.
 */
function namesOfEvent(event: unknown, runtime: string | null): ContainerNames | null {
  const actor = objectOf(objectOf(event)['Actor']);
  const attributes = objectOf(actor['Attributes']);
  const id = idOf(actor['ID']);
  const name = nameOf(attributes['name']);
  if (id === null || name === null) return null;
  return {
    id,
    name: withoutSlash(name),
    image: nameOf(attributes['image']),
    runtime,
    pod: podFromLabels(attributes),
  };
}

/** `Docker/27.1.1 (linux)` or `Libpod/4.3.1 (linux)`. */
function runtimeOf(response: IncomingMessage): string | null {
  const server = String(response.headers.server ?? '');
  if (/^libpod/i.test(server)) return 'podman';
  return /^docker/i.test(server) ? 'docker' : null;
}

function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

function idOf(value: unknown): string | null {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value) ? value : null;
}

function withoutSlash(name: string | null): string | null {
  return name?.startsWith('/') ? nameOf(name.slice(1)) : name;
}

/** The error of `JSON.parse` quotes the text, which may hold the secrets of a container. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('sent text that is no JSON');
  }
}
