/**
 * Describes who made which of the requests that the metadata service saw: its log, joined with what the lab started. This is
 * what an observer's findings are compared with, and nothing in it comes from an observer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabClient } from './clients.ts';
import { CATEGORY_OF_TARGET, type ExpectedCall } from './expected_call.ts';
import type { SeenRequest } from './ground_truth.ts';
import type { Lab, RunResult } from './lab.ts';
import type { LabService } from './services.ts';

const REQUESTS_TIMEOUT_MS = 3000;
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

/** Holds what a caller is part of, in the contract's words; null where it is part of no such thing. */
export interface Workload {
  container: { id: string; name: string; 'image.name': string; runtime: string } | null;
  k8s: { 'pod.uid': string; 'pod.name': string; 'namespace.name': string; 'container.name': string } | null;
  systemd: { unit: string; slice: string } | null;
}

/** A client that ran somewhere else than plainly on the host. */
export interface Placed {
  /** Pid as the host sees it. */
  pid: number;
  /** Its sockets' own address, where the metadata service sees another; null where it sees that. */
  address: string | null;
  workload: Workload;
}

/** A request with its owner. Null and undefined are "the lab cannot say". */
export interface Truth extends SeenRequest {
  owner: Owner | null;
  category?: ExpectedCall['category'];
  fallback?: ExpectedCall['fallback'];
  /** Answered, but the answer never reached the caller: what an observer says depends on where it looks. */
  unheard?: true;
  workload?: Workload;
}

interface Turn {
  client: LabClient;
  pid: number;
  placed: Placed | null;
  /** Requests after this one … */
  afterSeq: number;
  /** … up to this one, services' apart, are the client's. */
  untilSeq: number;
}

export class Ledger {
  readonly #lab: Lab;
  readonly #turns: Turn[] = [];
  readonly #services: LabService[] = [];

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  /** From now on the service's calls are known by the ports that it reports. */
  addService(service: LabService): LabService {
    this.#services.push(service);
    return service;
  }

  /**
   * Runs a client to its end under its behaviour of the metadata service. One client at a time: what arrives
   * meanwhile, and is no service's, is its.
   */
  async runClient(client: LabClient): Promise<RunResult> {
    const { result } = await this.#turn(client, async () => {
      const result = await this.#lab.run(client.argv);
      return { result, pid: result.pid, placed: null };
    });
    return result;
  }

  /** The same where `run` starts it, waits for its end and says where it was. */
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
    // A caller that does not wait for its answer may be gone before its request is read.
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

  /** The services' reports, each good for one request. */
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

  /** Every request so far with its owner. Complete for a service once it has been stopped. */
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

  /** Returns where clients did not do what clients.ts says that they do, one line each. Empty when all is well. */
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
