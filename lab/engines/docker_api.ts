/**
 * Calls the parts of Docker's Engine API (v1.41) that the lab needs, on a Unix socket. Podman has the same
 * API.
 */
import { createReadStream } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import * as z from 'zod';

const API = '/v1.41';
const TIMEOUT_MS = 30_000;

const created = z.object({ Id: z.string() });
const waited = z.object({ StatusCode: z.number() });
const inspected = z.object({
  Id: z.string(),
  Name: z.string(),
  State: z.object({ Pid: z.number() }),
  NetworkSettings: z.object({
    IPAddress: z.string().optional(),
    Networks: z.record(z.string(), z.object({ IPAddress: z.string().optional() })).nullish(),
  }),
});

export interface Inspected {
  id: string;
  name: string;
  /** Pid of its first process on the host; null if it does not run. */
  pid: number | null;
  /** Its address in its own network namespace; null in a shared one. */
  address: string | null;
}

export class DockerApi {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  async #ask(method: string, path: string, body?: { json: unknown } | { file: string }): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const headers = body && { 'content-type': 'json' in body ? 'application/json' : 'application/x-tar' };
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const asked = request(
      { socketPath: this.#socket, method, path: `${API}${path}`, headers, signal },
      resolve,
    );
    asked.on('error', reject);
    if (body && 'file' in body) createReadStream(body.file).on('error', reject).pipe(asked);
    else asked.end(body && JSON.stringify(body.json));
    const answer = await promise;
    const said = await text(answer);
    if (answer.statusCode === undefined || answer.statusCode >= 400) {
      throw new Error(`${method} ${path}: ${answer.statusCode} ${said.trim()}`);
    }
    return said;
  }

  async ping(): Promise<void> {
    await this.#ask('GET', '/_ping');
  }

  async load(archive: string): Promise<void> {
    await this.#ask('POST', '/images/load?quiet=1', { file: archive });
  }

  async create(name: string, body: Record<string, unknown>): Promise<string> {
    const path = `/containers/create?name=${encodeURIComponent(name)}`;
    return created.parse(JSON.parse(await this.#ask('POST', path, { json: body }))).Id;
  }

  async start(id: string): Promise<void> {
    await this.#ask('POST', `/containers/${id}/start`);
  }

  /** Resolves to its exit status when it has ended. */
  async wait(id: string): Promise<number> {
    return waited.parse(JSON.parse(await this.#ask('POST', `/containers/${id}/wait`))).StatusCode;
  }

  async inspect(id: string): Promise<Inspected> {
    const { Id, Name, State, NetworkSettings } = inspected.parse(
      JSON.parse(await this.#ask('GET', `/containers/${id}/json`)),
    );
    const addresses = [
      NetworkSettings.IPAddress,
      ...Object.values(NetworkSettings.Networks ?? {}).map(({ IPAddress }) => IPAddress),
    ];
    return {
      id: Id,
      name: Name.replace(/^\//, ''),
      pid: State.Pid > 0 ? State.Pid : null,
      address: addresses.find((address) => address) ?? null,
    };
  }

  /** Returns its output so far. Each piece has a header of 8 bytes (ContainerAttach, "stream format"). */
  async output(id: string): Promise<string> {
    const raw = await this.#ask('GET', `/containers/${id}/logs?stdout=1&stderr=1`);
    return raw.replace(/[\x01\x02]\0{3}[\s\S]{4}/g, '');
  }

  /** Ends it if it runs. */
  async remove(id: string): Promise<void> {
    await this.#ask('DELETE', `/containers/${id}?force=1&v=1`);
  }
}
