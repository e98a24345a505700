/** Findings of a collector that a test controls. */
import { OperatorError } from '../../../common/operator_error.ts';
import type {
  Findings,
  GroupFinding,
  HostFinding,
  NewHost,
  TokenlessCall,
} from '../../../enforce/findings.ts';
import { PLACE } from './plans.ts';

export function readyHost(hostId: string, given: Partial<HostFinding> = {}): HostFinding {
  return {
    hostId,
    name: `host-${hostId.slice(-2)}`,
    ...PLACE,
    imageId: 'ami-1',
    tags: {},
    verdict: 'ready',
    reason: 'It was watched, and nobody called without a token.',
    startSeen: true,
    coveragePercent: 100,
    hops: null,
    advisedHopLimit: null,
    isOnline: true,
    isLive: true,
    ...given,
  };
}

export class FakeFindings implements Findings {
  readonly known = new Map<string, HostFinding>();
  readonly verdicts = new Map<string, GroupFinding>();
  refused: TokenlessCall[] = [];
  callerHosts: string[] = [];
  isAway = false;
  /** Hosts that are not as old as the collector's first record. */
  readonly firstSeenMs = new Map<string, number>();

  constructor(hosts: readonly HostFinding[]) {
    for (const host of hosts) this.known.set(host.hostId, host);
  }

  async hosts(ids: readonly string[] | null): Promise<HostFinding[]> {
    this.#check();
    return [...this.known.values()].filter(({ hostId }) => ids === null || ids.includes(hostId));
  }

  async group(id: string): Promise<GroupFinding | null> {
    this.#check();
    return this.verdicts.get(id) ?? null;
  }

  async refusedCalls(sinceMs: number): Promise<TokenlessCall[]> {
    this.#check();
    return this.refused.filter(({ atMs }) => atMs >= sinceMs);
  }

  async newHosts(_place: object, sinceMs: number): Promise<NewHost[]> {
    this.#check();
    return [...this.firstSeenMs]
      .filter(([, firstMs]) => firstMs >= sinceMs)
      .map(([hostId]) => ({ hostId, tags: this.known.get(hostId)?.tags ?? {} }));
  }

  async acceptedCalls(): Promise<TokenlessCall[]> {
    this.#check();
    return [];
  }

  async hostsOfCaller(): Promise<string[]> {
    this.#check();
    return this.callerHosts;
  }

  async watched(
    hostIds: readonly string[],
    { sinceMs, untilMs }: { sinceMs: number; untilMs: number },
  ): Promise<Map<string, number>> {
    this.#check();
    const online = hostIds.filter((id) => this.known.get(id)?.isOnline === true);
    return new Map(online.map((id) => [id, untilMs - sinceMs]));
  }

  async otherPlans(): Promise<string[]> {
    this.#check();
    return [];
  }

  async audit(): Promise<void> {}

  #check(): void {
    if (this.isAway) throw new OperatorError(1, 'The collector is away.');
  }
}
