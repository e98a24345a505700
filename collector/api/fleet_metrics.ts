/**
 * Metrics of the whole fleet, from the store. Every collector that shares a database shows the same values, so that they are
 * joined with `max`, never added up. Names that people give, such as owners, are labels of bounded number.
 */
import { Gauge, type Registry } from 'prom-client';
import type { Destination } from '../contract/destination.ts';
import type { Host, Overview, ReadinessGroup } from '../contract/host.ts';
import type { Offender } from '../contract/offender.ts';
import type { StoreStatistics } from '../store/store.ts';

/** Values of one label that people name. The rest is counted as `other`. */
export const MAX_NAMED = 50;
const OTHER = 'other';
const NONE = 'none';

export interface Findings {
  overview: Overview;
  offenders: readonly Offender[];
  statistics: StoreStatistics;
  /** Limit of the store; null where retention could not be read. */
  maxBytes: number;
  destinations: readonly Pick<Destination, 'enabled' | 'waiting' | 'last_error' | 'progress'>[];
  /** Hosts by the tag of the setting `metrics_group_tag`, the largest group first; null without it. */
  groups: readonly ReadinessGroup[] | null;
  /** Time since the findings were computed. */
  ageSeconds: number;
}

type FleetGauge =
  | 'hosts'
  | 'verdicts'
  | 'groups'
  | 'offenders'
  | 'owners'
  | 'tagged'
  | 'taggedCalls'
  | 'destinations'
  | 'waiting'
  | 'bytes'
  | 'maxBytes'
  | 'calls'
  | 'workloads'
  | 'age';

export class FleetMetrics {
  readonly #gauges: Record<FleetGauge, Gauge>;
  readonly #withoutLabel: readonly FleetGauge[] = [
    'waiting',
    'bytes',
    'maxBytes',
    'calls',
    'workloads',
    'age',
  ];

  constructor(registry: Registry) {
    const gauge = (name: string, help: string, labelNames: string[] = []) =>
      new Gauge({ name: `imdswatch_${name}`, help, labelNames, registers: [registry] });
    this.#gauges = {
      hosts: gauge('hosts', 'Hosts that have ever reported, by state.', ['state']),
      verdicts: gauge('hosts_readiness', 'Hosts by verdict, that is their readiness to require IMDSv2.', [
        'verdict',
      ]),
      groups: gauge('groups_readiness', 'Auto Scaling groups by their own verdict.', ['verdict']),
      offenders: gauge('offenders', 'Workloads in the window, by severity.', ['severity']),
      owners: gauge(
        'owner_offenders',
        `Workloads with IMDSv1 calls in the window, by owner and severity: the ${MAX_NAMED} owners that have most, other, and none.`,
        ['owner', 'severity'],
      ),
      tagged: gauge(
        'group_hosts_readiness',
        `Hosts by verdict and by the tag of metrics_group_tag: the ${MAX_NAMED} values that most hosts have, other, and none. Absent without that setting.`,
        ['group', 'verdict'],
      ),
      taggedCalls: gauge(
        'group_v1_calls',
        'IMDSv1 calls in the readiness window, by the tag of metrics_group_tag. Absent without that setting.',
        ['group'],
      ),
      destinations: gauge(
        'alert_destinations',
        'Destinations of alerts and streams, by state. Failing: something waits, and the last attempt failed.',
        ['state'],
      ),
      waiting: gauge('alerts_waiting', 'Alerts that wait for delivery to destinations that are switched on.'),
      bytes: gauge('store_used_bytes', 'Bytes that the store uses of its limit.'),
      maxBytes: gauge('store_max_bytes', 'Limit of the store: max_bytes of retention.'),
      calls: gauge('store_calls', 'Raw calls in the store.'),
      workloads: gauge('store_workloads', 'Workloads in the store.'),
      age: gauge('findings_age_seconds', 'Age of the numbers about the fleet and the store.'),
    };
  }

  put(findings: Findings | null): void {
    for (const gauge of Object.values(this.#gauges)) gauge.reset();
    if (findings === null) {
      // A gauge without labels would show 0.
      for (const name of this.#withoutLabel) this.#gauges[name].remove();
      return;
    }
    const { overview, offenders, statistics, maxBytes, ageSeconds } = findings;
    const { hosts, verdicts, groups, bytes, calls, workloads, age } = this.#gauges;
    hosts.set({ state: 'online' }, overview.hosts.online);
    hosts.set({ state: 'silent' }, overview.hosts.silent);
    for (const [verdict, count] of Object.entries(overview.hosts.verdicts)) verdicts.set({ verdict }, count);
    for (const [verdict, count] of Object.entries(overview.groups?.verdicts ?? {}))
      groups.set({ verdict }, count);
    for (const { severity } of offenders) this.#gauges.offenders.inc({ severity });
    this.#putOwners(offenders);
    this.#putTagged(findings.groups ?? []);
    this.#putDestinations(findings.destinations);
    bytes.set(statistics.bytes);
    this.#gauges.maxBytes.set(maxBytes);
    calls.set(statistics.calls);
    workloads.set(statistics.identities);
    age.set(ageSeconds);
  }

  #putOwners(offenders: readonly Offender[]): void {
    const withV1 = offenders.filter(({ severity }) => severity !== 'none');
    const owners = new Map<string, number>();
    for (const { triage } of withV1) {
      if (triage.owner !== null) owners.set(triage.owner, (owners.get(triage.owner) ?? 0) + 1);
    }
    const named = new Set(
      [...owners]
        .sort(([a, many], [b, more]) => more - many || (a < b ? -1 : 1))
        .slice(0, MAX_NAMED)
        .map(([owner]) => owner),
    );
    for (const { triage, severity } of withV1) {
      this.#gauges.owners.inc({ owner: labelOf(triage.owner, named), severity });
    }
  }

  #putTagged(groups: readonly ReadinessGroup[]): void {
    const named = new Set(groups.flatMap(({ value }) => value ?? []).slice(0, MAX_NAMED));
    for (const { value, verdicts, calls_v1 } of groups) {
      const group = labelOf(value, named);
      for (const [verdict, count] of Object.entries(verdicts) as [Host['verdict'], number][]) {
        if (count > 0) this.#gauges.tagged.inc({ group, verdict }, count);
      }
      this.#gauges.taggedCalls.inc({ group }, calls_v1);
    }
  }

  #putDestinations(all: Findings['destinations']): void {
    const states = { working: 0, failing: 0, off: 0 };
    let waiting = 0;
    for (const { enabled, waiting: own, last_error, progress } of all) {
      if (!enabled) {
        states.off += 1;
        continue;
      }
      waiting += own;
      states[(progress?.behind ?? own) > 0 && last_error !== null ? 'failing' : 'working'] += 1;
    }
    for (const [state, count] of Object.entries(states)) this.#gauges.destinations.set({ state }, count);
    this.#gauges.waiting.set(waiting);
  }
}

/** Returns the label of a name that people gave; null for none. */
function labelOf(name: string | null, named: ReadonlySet<string>): string {
  if (name === null) return NONE;
  return named.has(name) ? name : OTHER;
}
