/** Filters and sorts the workloads of an answer. */
import type * as z from 'zod';
import { type Offender, severity } from '../contract/offender.ts';
import { triageState } from '../contract/triage.ts';
import { repeatable, shortText } from './question.ts';

export const offenderFilterQuery = {
  severity: repeatable(severity).describe('Severities.'),
  text: shortText
    .optional()
    .describe(
      'Part of the title, executable, script, user, image, unit, pod, user agent, host, owner or ticket. Upper and lower case are the same.',
    ),
  image: repeatable(shortText).describe('Container images, without a tag.'),
  unit: repeatable(shortText).describe('systemd units.'),
  namespace: repeatable(shortText).describe('Kubernetes namespaces.'),
  user: repeatable(shortText).describe('Names of users, or user ids if they have no name.'),
  client: repeatable(shortText).describe('SDKs or tools.'),
  state: repeatable(triageState).describe('States of the triage.'),
  owner: repeatable(shortText).describe('Owners. An empty value matches workloads without one.'),
};
type Filters = z.output<z.ZodObject<typeof offenderFilterQuery>>;

const SORT_KEYS = [
  'severity',
  'title',
  'calls_v1',
  'calls_v2',
  'credentials_over_v1',
  'host_count',
  'hosts_freed',
  'first_seen',
  'last_seen',
  'first_v1',
  'last_v1',
  'priority',
  'state',
  'owner',
] as const;
/** More than any fleet has hosts. */
const CREDENTIALS_FIRST = 1e9;
type SortKey = (typeof SORT_KEYS)[number];
export const offenderSorts = [
  ...SORT_KEYS,
  ...SORT_KEYS.map((key) => `-${key}` as const),
] as const satisfies string[];
export type OffenderSort = (typeof offenderSorts)[number];

export interface OffenderFilter extends Filters {
  sort?: OffenderSort | undefined;
}

/** `offenders` are sorted worst first, as `Insight` returns them. */
export function selectOffenders(offenders: readonly Offender[], filter: OffenderFilter): Offender[] {
  const chosen = offenders.filter((offender) => matches(offender, filter));
  return filter.sort === undefined ? chosen : sorted(chosen, filter.sort);
}

function matches(offender: Offender, filter: OffenderFilter): boolean {
  const { severity: severities, text, image, unit, namespace, user, client, state, owner } = filter;
  return (
    (severities === undefined ? offender.severity !== 'none' : severities.includes(offender.severity)) &&
    isOneOf(offender.container_image, image) &&
    isOneOf(offender.systemd_unit, unit) &&
    isOneOf(offender.k8s_namespace, namespace) &&
    isOneOf(offender.user ?? (offender.uid === null ? null : String(offender.uid)), user) &&
    (client === undefined || offender.clients.some(({ name }) => client.includes(name))) &&
    (state === undefined || state.includes(offender.triage.state)) &&
    isOneOf(offender.triage.owner, owner) &&
    (text === undefined || hasText(offender, text.toLowerCase()))
  );
}

function isOneOf(value: string | null, wanted: readonly string[] | undefined): boolean {
  return wanted === undefined || wanted.includes(value ?? '');
}

function hasText(offender: Offender, text: string): boolean {
  const texts = [
    offender.title,
    offender.executable,
    offender.name,
    offender.script,
    offender.user,
    offender.container_image,
    offender.systemd_unit,
    offender.k8s_namespace,
    offender.k8s_container,
    offender.source_address,
    offender.triage.owner,
    offender.triage.ticket,
    ...offender.user_agents,
    ...offender.clients.map(({ name }) => name),
    ...offender.hosts.flatMap(({ id, name }) => [id, name]),
  ];
  return texts.some((value) => value?.toLowerCase().includes(text) === true);
}

function sorted(offenders: Offender[], sort: OffenderSort): Offender[] {
  const isDescending = sort.startsWith('-');
  const key = (isDescending ? sort.slice(1) : sort) as SortKey;
  const sign = isDescending ? -1 : 1;
  // The sort is stable, so equal workloads stay worst first. Workloads without a value come last in both
  // directions.
  return offenders.toSorted((a, b) => {
    const [left, right] = [sortValue(a, key), sortValue(b, key)];
    if (left === right) return 0;
    if (left === null) return 1;
    if (right === null) return -1;
    return left < right ? -sign : sign;
  });
}

function sortValue(offender: Offender, key: SortKey): string | number | null {
  if (key === 'severity') return severity.options.indexOf(offender.severity);
  if (key === 'title') return offender.title.toLowerCase();
  if (key === 'priority') return priorityOf(offender);
  if (key === 'state') return triageState.options.indexOf(offender.triage.state);
  if (key === 'owner') return offender.triage.owner?.toLowerCase() ?? null;
  return offender[key];
}

/**
 * Returns a lower number for an offender that matters more: credentials over IMDSv1 come before all else,
 * then a fix that frees more hosts before one that frees fewer.
 */
function priorityOf({ severity, hosts_freed }: Offender): number {
  return (severity === 'credentials' ? -CREDENTIALS_FIRST : 0) - hosts_freed;
}
