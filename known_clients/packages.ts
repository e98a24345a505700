/** Judges releases of packages in manifests and lock files by the table of clients. */
import type { Client, ClientPackage, Ecosystem, ReleaseFacts } from './client.ts';
import { CLIENTS } from './table.ts';
import { compareVersions } from './version.ts';

/** Null means: not known. */
export interface JudgedRelease {
  /** Asks for a token. False: speaks IMDSv1 only. */
  asksForToken: boolean | null;
  /** Calls without a token after its token request failed, unless a setting prevents it. */
  fallsBack: boolean | null;
  /** Has a setting that prevents this. */
  canDisableFallback: boolean | null;
}

interface Entry {
  client: Client;
  package: ClientPackage;
}

const ENTRIES: readonly Entry[] = CLIENTS.flatMap((client) =>
  client.packages.map((entry) => ({ client, package: entry })),
);
const PACKAGES = Map.groupBy(ENTRIES, ({ package: { ecosystem, name } }) => keyOf(ecosystem, name));
/** Entries whose names end with `*`. An entry with the whole name counts before them. */
const PREFIXES = ENTRIES.filter(({ package: { name } }) => name.endsWith('*')).map((entry) => ({
  ...entry,
  prefix: keyOf(entry.package.ecosystem, entry.package.name).slice(0, -1),
}));

/**
 * Returns the client that a release of a package is. Null for a package that is not in the table. `version` is
 * one release, not a range; null where it is not known, and then only a package is found of which all releases are
 * one client.
 */
export function clientOfPackage(ecosystem: Ecosystem, name: string, version: string | null): Entry | null {
  const key = keyOf(ecosystem, name);
  const entries = [...(PACKAGES.get(key) ?? []), ...PREFIXES.filter(({ prefix }) => key.startsWith(prefix))];
  if (version === null) {
    const whole = entries.filter(({ package: { from, below } }) => from === null && below === null);
    return whole.length === 1 ? only(whole[0]!) : null;
  }
  const found = entries.find(
    ({ package: { from, below } }) =>
      (from === null || (compareVersions(version, from) ?? -1) >= 0) &&
      (below === null || (compareVersions(version, below) ?? 1) < 0),
  );
  return found === undefined ? null : only(found);
}

function only({ client, package: entry }: Entry): Entry {
  return { client, package: entry };
}

/** Judges one release. A text that is not a version gives null wherever the release matters. */
export function judgeRelease(facts: ReleaseFacts, version: string | null): JudgedRelease {
  const asksForToken = facts.tokens === 'since' ? isSince(version, facts.minimum) : facts.tokens === 'always';
  const isPure = facts.neverFallsBackSince === null ? false : isSince(version, facts.neverFallsBackSince);
  const fallsBack =
    asksForToken === false || isPure === true
      ? false
      : facts.fallsBack === false
        ? false
        : isPure === null || asksForToken === null
          ? null
          : facts.fallsBack;
  return {
    asksForToken,
    fallsBack,
    canDisableFallback: facts.fallbackOffSince === null ? null : isSince(version, facts.fallbackOffSince),
  };
}

function isSince(version: string | null, first: string | null): boolean | null {
  if (version === null || first === null) return null;
  const order = compareVersions(version, first);
  return order === null ? null : order >= 0;
}

/** PyPI treats `-`, `_` and `.` alike (PEP 503). NuGet and Composer ignore case, as their documentation says. */
function keyOf(ecosystem: Ecosystem, name: string): string {
  const isCaseless = ecosystem === 'pypi' || ecosystem === 'nuget' || ecosystem === 'composer';
  const plain = isCaseless ? name.toLowerCase() : name;
  return `${ecosystem} ${ecosystem === 'pypi' ? plain.replaceAll(/[-_.]+/g, '-') : plain}`;
}
