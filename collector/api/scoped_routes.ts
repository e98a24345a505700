/** The routes that a viewer with a scope may ask. Every other route is closed to it, so that a forgotten one is. */
import { API_PREFIX } from './paths.ts';

/** Findings, of which a view has those of the scope. `/live` has the calls of hosts in the scope, and no plans. */
const NARROWED = [
  '/overview',
  '/fix-first',
  '/burn-down',
  '/offenders',
  '/owners',
  '/hosts',
  '/readiness',
  '/groups',
  '/calls',
  '/live',
  '/reconciliation',
];
/** Answers that have nothing of any host. */
const WITHOUT_HOSTS = ['/session', '/openapi.json', '/retention', '/storage'];

const REASONS: Record<string, string> = {
  '/calls/arrivals': 'Positions in the order of arrival count the calls of all hosts.',
  '/alerts': 'An alert can be about hosts of the whole fleet.',
  '/owner-rules': 'Rules name the owners of workloads on hosts of the whole fleet.',
  '/alert': 'Destinations get alerts about the whole fleet.',
  '/plans': 'A plan can change hosts of the whole fleet.',
  '/enforcement': 'A change is safe only if the whole group of an instance is known.',
  '/metrics': 'Metrics are about the whole fleet.',
};

/** Returns null where a viewer with a scope may ask for a path of the API, else the reason why not. */
export function refusalOfScoped(path: string): string | null {
  const own = path.startsWith(`${API_PREFIX}/`) ? path.slice(API_PREFIX.length) : path;
  const isBelow = (each: string) => own === each || own.startsWith(`${each}/`);
  const reason = Object.entries(REASONS).find(([each]) => isBelow(each))?.[1];
  const isNarrowed = WITHOUT_HOSTS.includes(own) || (reason === undefined && NARROWED.some(isBelow));
  if (path !== own && isNarrowed) return null;
  return `${reason ?? 'This is about the whole fleet.'} Your role shows the hosts of a scope only. Ask an admin for a role without a scope.`;
}
