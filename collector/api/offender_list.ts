/** Which workloads of an answer are asked for, and in which order. */
import type * as z from 'zod';
import { type Offender, severity } from '../contract/offender.ts';
import { several, word } from './question.ts';

export const offenderFilterQuery = {
  severity: several(severity).describe('How bad.'),
  text: word
    .optional()
    .describe('Part of title, executable, script, user, image, unit, pod, user agent or host; case ignored.'),
  image: several(word).describe('Container images, without tag.'),
  unit: several(word).describe('systemd units.'),
  namespace: several(word).describe('Kubernetes namespaces.'),
  user: several(word).describe("Users' names, or numbers where there is no name."),
  client: several(word).describe('SDKs or tools.'),
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

/** `offenders` worst first, as insight gives them. */
export function selectOffenders(offenders: readonly Offender[], filter: OffenderFilter): Offender[] {
  const chosen = offenders.filter((offender) => isAsked(offender, filter));
  return filter.sort === undefined ? chosen : sorted(chosen, filter.sort);
}

function isAsked(offender: Offender, filter: OffenderFilter): boolean {
  const { severity: severities, text, image, unit, namespace, user, client } = filter;
  return (
    (severities === undefined ? offender.severity !== 'none' : severities.includes(offender.severity)) &&
    isOneOf(offender.container_image, image) &&
    isOneOf(offender.systemd_unit, unit) &&
    isOneOf(offender.k8s_namespace, namespace) &&
    isOneOf(offender.user ?? (offender.uid === null ? null : String(offender.uid)), user) &&
    (client === undefined || offender.clients.some(({ name }) => client.includes(name))) &&
    (text === undefined || hasText(offender, text.toLowerCase()))
  );
}

function isOneOf(value: string | null, asked: readonly string[] | undefined): boolean {
  return asked === undefined || asked.includes(value ?? '');
}

function hasText(offender: Offender, text: string): boolean {
  const words = [
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
    ...offender.user_agents,
    ...offender.clients.map(({ name }) => name),
    ...offender.hosts.flatMap(({ id, name }) => [id, name]),
  ];
  return words.some((value) => value?.toLowerCase().includes(text) === true);
}

function sorted(offenders: Offender[], sort: OffenderSort): Offender[] {
  const turned = sort.startsWith('-');
  const key = (turned ? sort.slice(1) : sort) as SortKey;
  const sign = turned ? -1 : 1;
  // Stable: equal ones stay worst first. What has no value comes last, whichever way round.
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
  return offender[key];
}

/**
 * Returns a lower number for an offender that matters more: credentials over IMDSv1 come before all else, then a fix that frees more
 * hosts before one that frees fewer.
 */
function priorityOf({ severity, hosts_freed }: Offender): number {
  return (severity === 'credentials' ? -CREDENTIALS_FIRST : 0) - hosts_freed;
}
