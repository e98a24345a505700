/**
 * Describes the workloads that call, one entry per workload over all hosts. Pure: `Insight` asks the store.
 */
import { productsOf } from '../../known_clients/recognise.ts';
import { sortVersions } from '../../known_clients/version.ts';
import type { HostFacts } from '../../protocol/call.ts';
import type { Offender, OffenderDetail } from '../contract/offender.ts';
import type { Identity, IdentityTotals, WorkloadHosts } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';
import { adviceOn } from './advice.ts';
import type { AdviceQuestion } from './advice_question.ts';
import { isV1, mostFrequent, tally } from './counts.ts';
import type { HopEvidence } from './hop_limit.ts';
import { severityOf } from './severity.ts';

export const MAX_LISTED = 10;

export interface OffenderEvidence {
  totals: IdentityTotals;
  /** The hosts on which it called in the window, of which at least `MAX_LISTED` are listed; null for none. */
  hosts: WorkloadHosts | null;
  /** Returns what is known of a listed host. */
  factsOf: (hostId: string) => HostFacts | null;
  /** Its distance from the service on a host, where that was measured. */
  hopsOf: (host: HostFacts) => HopEvidence;
  trend: readonly number[];
  paths: readonly string[];
}

/** An offender, and what its triage depends on besides the triage that is stored. */
export interface UntriagedOffender {
  offender: Omit<Offender, 'triage'>;
  identity: Identity;
  /** Values of the tags that name owners, on its hosts. */
  tags: Record<string, (string | null)[]>;
}

export function describeOffender(evidence: OffenderEvidence): {
  offender: UntriagedOffender['offender'];
  advice: OffenderDetail['advice'];
} {
  const { totals, hosts, factsOf, trend } = evidence;
  const { identity, kinds } = totals;
  const calls = tally(kinds);
  const v1 = kinds.filter(isV1);
  const latest = (hosts?.latest ?? []).slice(0, MAX_LISTED);
  const facts = latest.flatMap(({ hostId }) => factsOf(hostId) ?? []);
  const categories: Record<string, number> = {};
  for (const { category, count } of v1) categories[category] = (categories[category] ?? 0) + count;
  const question: AdviceQuestion = {
    identity,
    kinds,
    calls,
    hosts: facts,
    hops: facts.map(evidence.hopsOf),
    paths: evidence.paths,
  };
  const advice = adviceOn(question);
  const releases = totals.releases ?? [{ identity, kinds, release: null }];
  // This is the first call ever. A workload is new or known independently of the window that somebody looks
  // at.
  const firstUs = Math.min(calls.firstUs ?? hosts?.firstUs ?? 0, hosts?.firstUs ?? Number.POSITIVE_INFINITY);
  const offender: UntriagedOffender['offender'] = {
    id: identity.id,
    severity: severityOf(calls),
    attributed: identity.attributed,
    title: titleOf(identity),
    executable: identity.executable,
    name: identity.name,
    script: identity.script,
    user: identity.user,
    uid: identity.uid,
    container_image: identity.image,
    systemd_unit: identity.unit,
    k8s_namespace: identity.k8sNamespace,
    k8s_container: identity.k8sContainer,
    source_address: identity.sourceAddress,
    helpers: [...new Set(releases.flatMap(({ identity }) => identity.helper ?? []))].slice(0, MAX_LISTED),
    started_by: identity.startedBy ?? null,
    entry: identity.entry ?? null,
    releases: releasesOf(releases),
    calls_v1: calls.v1,
    calls_v2: calls.v2,
    blocked_attempts: calls.blocked,
    credentials_over_v1: calls.credentialsV1,
    last_credentials_over_v1: stampOf(calls.lastCredentialsV1Us),
    credentials_over_v1_attempts: calls.credentialAttemptsV1,
    rejected_v1: calls.rejectedV1,
    adapted_v1: calls.adaptedV1,
    refused_tokens: calls.refusedTokens,
    other_cloud_calls: calls.otherCloud,
    answered_by_host_v1: calls.answeredByHost,
    acts_for_others: kinds.some(({ callerRole }) => callerRole === 'relay'),
    fallbacks: { token_unanswered: calls.fallbackUnanswered, token_refused: calls.fallbackRefused },
    categories_v1: categories,
    roles_v1: mostFrequent(v1, ({ role }) => role, MAX_LISTED),
    user_agents: mostFrequent(kinds, ({ userAgent }) => userAgent, MAX_LISTED),
    clients: clientsIn(mostFrequent(kinds, ({ userAgent }) => userAgent, Number.POSITIVE_INFINITY)),
    host_count: hosts?.hosts ?? 0,
    hosts_freed: hosts?.freed ?? 0,
    hosts: latest.map(({ hostId }) => ({ id: hostId, name: factsOf(hostId)?.name ?? hostId })),
    accounts: hosts?.accounts ?? [],
    regions: hosts?.regions ?? [],
    first_seen: toTimestamp(firstUs),
    last_seen: toTimestamp(calls.lastUs ?? hosts?.lastUs ?? 0),
    first_v1: stampOf(calls.firstV1Us),
    last_v1: stampOf(calls.lastV1Us),
    trend_v1: [...trend],
    advice_kind: advice.kind,
    advice_headline: advice.headline,
  };
  return { offender, advice };
}

const stampOf = (us: number | null) => (us === null ? null : toTimestamp(us));

/**
 * Describes releases, those first that called last. Helpers are no releases: rows that differ only in their helper
 * are summed up.
 */
function releasesOf(releases: NonNullable<IdentityTotals['releases']>): Offender['releases'] {
  const rows = Map.groupBy(releases, ({ identity: { executable, script, imageTag, entry } }) =>
    JSON.stringify([executable, script, imageTag, entry]),
  );
  return [...rows.values()].slice(0, MAX_LISTED).map((same) => {
    const [{ identity, release }] = same as [(typeof same)[number]];
    const calls = tally(same.flatMap(({ kinds }) => kinds));
    return {
      release,
      executable: identity.executable,
      script: identity.script,
      image_tag: identity.imageTag ?? null,
      calls_v1: calls.v1,
      calls_v2: calls.v2,
      last_seen: stampOf(calls.lastUs),
      last_v1: stampOf(calls.lastV1Us),
      id: identity.id,
    };
  });
}

/**
 * Returns the script, else the executable, else the starter of its helpers, else the name, else the source address.
 */
export function titleOf(identity: Identity): string {
  return (
    identity.script ??
    identity.executable ??
    starterTitle(identity) ??
    identity.name ??
    (identity.sourceAddress === null ? 'unknown' : `from ${identity.sourceAddress}`)
  );
}

function starterTitle({
  startedBy,
  entry,
  unit,
  image,
  k8sNamespace,
  k8sContainer,
}: Identity): string | null {
  switch (startedBy) {
    case 'cron':
      return `cron: ${entry}`;
    case 'supervisor':
      return `supervisor: ${entry}`;
    case 'unit':
      return unit;
    case 'container':
      return image ?? `${k8sNamespace ?? '?'}/${k8sContainer ?? '?'}`;
    default:
      return null;
  }
}

/** Returns at most 10 releases of at most 10 SDKs and tools, the latest release of each first. */
function clientsIn(userAgents: readonly string[]): Offender['clients'] {
  const versions = new Map<string, Set<string>>();
  for (const { name, version } of userAgents.flatMap(productsOf)) {
    const known = versions.get(name) ?? new Set();
    versions.set(name, known);
    if (version !== null) known.add(version);
  }
  return [...versions].slice(0, MAX_LISTED).flatMap(([name, seen]): Offender['clients'] => {
    if (seen.size === 0) return [{ name, version: null }];
    const latest = sortVersions([...seen])
      .reverse()
      .slice(0, MAX_LISTED);
    return latest.map((version) => ({ name, version }));
  });
}
