/** One dependency in a manifest, a lock file or an SBOM. All positions are indices of a text. */
import type { Ecosystem } from '../../known_clients/client.ts';

export interface Dependency {
  ecosystem: Ecosystem;
  /** Name in the registry: `@scope/name`, `group:artifact`, a Go module path, `vendor/name`. */
  name: string;
  /** The pinned release; null where the file allows several. */
  version: string | null;
  /** Releases that the file allows, in its own words, where it pins none. */
  range: string | null;
  /** The latest release that the range allows, excluded or not; null without a bound. */
  below: { version: string; inclusive: boolean } | null;
  /** The name or the version: the place to look at. */
  start: number;
  end: number;
  /** The whole entry. */
  scopeStart: number;
  scopeEnd: number;
}

type Place = Pick<Dependency, 'start' | 'end'> & Partial<Pick<Dependency, 'scopeStart' | 'scopeEnd'>>;

/** Returns a dependency on one release. */
export function pinned(ecosystem: Ecosystem, name: string, version: string, place: Place): Dependency {
  return { ecosystem, name, version, range: null, below: null, ...withScope(place) };
}

export function ranged(
  ecosystem: Ecosystem,
  name: string,
  range: string,
  below: Dependency['below'],
  place: Place,
): Dependency {
  return { ecosystem, name, version: null, range, below, ...withScope(place) };
}

function withScope(place: Place): Place & Pick<Dependency, 'scopeStart' | 'scopeEnd'> {
  return { scopeStart: place.start, scopeEnd: place.end, ...place };
}
