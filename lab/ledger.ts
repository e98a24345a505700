/**
 * Joins the log of the metadata service with the processes that the lab started: who made which request. The
 * findings of an observer are compared with this; nothing in it comes from an observer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabClient } from './clients.ts';
import { CATEGORY_OF_TARGET, type ExpectedCall } from './expected_call.ts';
import type { SeenRequest } from './ground_truth.ts';
import type { Lab, RunResult } from './lab.ts';
import type { LabService } from './services.ts';

const REQUESTS_TIMEOUT_MS = 30_000;
const RECHECK_MS = 5;

export interface Owner {
  /** The client's or the service's name. */
  name: string;
  pid: number;
  /** `itself`: the caller is `pid`; `child`: it is `pid` or comes from it. */
  caller: 'itself' | 'child';
  executable: string;
  script: string | null;
}

/** Container, pod and unit of a caller, by the fields of the contract; null outside of them. */
export interface Workload {
  container: { id: string; name: string; 'image.name': string; runtime: string } | null;
  k8s: { 'pod.uid': string; 'pod.name': string; 'namespace.name': string; 'container.name': string } | null;
  systemd: { unit: string; slice: string } | null;
}

/** A client that did not run directly on the host. */
export interface Placed {
  /** Pid as the host sees it. */
  pid: number;
  /** The address of its own sockets, if the metadata service sees another one; otherwise null. */
  address: string | null;
  workload: Workload;
}

/** A request with its owner. The lab does not know a value that is null or undefined. */
export interface Truth extends SeenRequest {
  owner: Owner | null;
  category?: ExpectedCall['category'];
  fallback?: ExpectedCall['fallback'];
  /**
   * The request was answered, but the answer did not reach the caller. An observer's report depends on its
   * place.
   */
  unheard?: true;
  workload?: Workload;
}

interface Turn {
  client: LabClient;
  pid: number;
  placed: Placed | null;
  /** The client made the requests after this one, … */
  afterSeq: number;
  /** … up to this one, except those of services. */
  untilSeq: number;
}

export class Ledger {
  readonly #lab: Lab;
  readonly #turns: Turn[] = [];
  readonly #services: LabService[] = [];

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  /** Adds a service. Its calls are known by the ports that it reports. */
  addService(service: LabService): LabService {
    this.#services.push(service);
    return service;
  }

  /**
   * Runs a client to its end under its behaviour of the metadata service. Only one client may run at a time:
   * requests that arrive meanwhile are its own, except those of services.
   */
  async runClient(client: LabClient): Promise<RunResult> {
    const { result } = await this.#turn(client, async () => {
      const result = await this.#lab.run(client.argv);
      return { result, pid: result.pid, placed: null };
    });
    return result;
  }

  /** Does the same for a client that `run` starts, waits for and locates. */
  async runPlaced(client: LabClient, run: () => Promise<Placed>): Promise<void> {
    await this.#turn(client, async () => {
      const placed = await run();
      return { pid: placed.pid, placed };
    });
  }

  async #turn<T extends { pid: number; placed: Placed | null }>(
    client: LabClient,
    play: () => Promise<T>,
  ): Promise<T> {
    const { metadata } = this.#lab;
    const before = (await metadata.log()).length;
    await metadata.reset();
    if (client.behaviour !== undefined) await metadata.set(client.behaviour);
    const played = await play();
    const deadline = Date.now() + REQUESTS_TIMEOUT_MS;
    let log = await metadata.log();
    // A caller that does not wait for its answer may have ended before its request is read.
    while (this.#unclaimed(log.slice(before)).length < client.calls.length && Date.now() < deadline) {
      await sleep(RECHECK_MS);
      log = await metadata.log();
    }
    await metadata.reset();
    const { pid, placed } = played;
    this.#turns.push({ client, pid, placed, afterSeq: before, untilSeq: log.length });
    return played;
  }

  #unclaimed(requests: SeenRequest[]): SeenRequest[] {
    const claimed = this.#claims();
    return requests.filter((request) => claimed.take(request) === null);
  }

  /** Returns the reports of the services, one for each request. */
  #claims() {
    const open = new Map<string, LabService[]>();
    for (const service of this.#services) {
      for (const { port, method, target } of service.reported) {
        const key = `${port} ${method} ${target}`;
        open.set(key, [...(open.get(key) ?? []), service]);
      }
    }
    return {
      take: ({ clientPort, method, target }: SeenRequest) =>
        open.get(`${clientPort} ${method} ${target}`)?.shift() ?? null,
    };
  }

  /** Returns every request so far with its owner. It is complete for a service when that was stopped. */
  async truths(): Promise<Truth[]> {
    const log = await this.#lab.metadata.log();
    const claims = this.#claims();
    const callsLeft = new Map(this.#turns.map((turn) => [turn, [...turn.client.calls]]));
    return log.map((request): Truth => {
      const service = claims.take(request);
      if (service !== null) {
        const { name, pid, executable, script } = service;
        const category = CATEGORY_OF_TARGET[request.target ?? ''];
        return {
          ...request,
          owner: { name, pid, caller: 'itself', executable, script },
          ...(category && { category }),
        };
      }
      const turn = this.#turns.find(
        ({ afterSeq, untilSeq }) => request.seq > afterSeq && request.seq <= untilSeq,
      );
      if (turn === undefined) return { ...request, owner: null };
      const { name, caller, executable, script } = turn.client;
      const expected = callsLeft.get(turn)?.shift();
      return {
        ...request,
        ...(turn.placed && { workload: turn.placed.workload }),
        ...(turn.placed?.address && { clientAddress: turn.placed.address }),
        ...(expected?.status === null && request.status !== null && { unheard: true as const }),
        owner: { name, pid: turn.pid, caller, executable, script },
        ...(expected && { category: expected.category }),
        ...(expected?.fallback && { fallback: expected.fallback }),
      };
    });
  }

  /** Returns one line for each client that did not make the calls of clients.ts; empty if all did. */
  async surprises(): Promise<string[]> {
    const truths = await this.truths();
    return this.#turns.flatMap(({ client, pid }) => {
      const show = (
        calls: {
          method: string | null;
          target: string | null;
          version: number | null;
          status: number | null;
          unheard?: true;
        }[],
      ) =>
        calls
          .map(({ method, target, version, status, unheard }) => {
            return `${method} ${target} v${version} ${unheard ? null : status}`;
          })
          .join(', ');
      const did = show(truths.filter(({ owner }) => owner?.pid === pid && owner.name === client.name));
      const should = show([...client.calls]);
      return did === should ? [] : [`${client.name} made [${did}], expected [${should}]`];
    });
  }
}
