/** Reads package URLs. Source: the package URL specification, "purl-spec", and its types. */
import type { Ecosystem } from '../../known_clients/client.ts';

const TYPES: Record<string, Ecosystem> = {
  npm: 'npm',
  pypi: 'pypi',
  golang: 'go',
  maven: 'maven',
  gem: 'gem',
  composer: 'composer',
  nuget: 'nuget',
  cargo: 'cargo',
};

/** Returns null for a type that no table entry has, and for a text that is no package URL. */
export function fromPurl(
  purl: string,
): { ecosystem: Ecosystem; name: string; version: string | null } | null {
  const match = /^pkg:\/*([a-z]+)\/([^?#]+)/i.exec(purl);
  const ecosystem = TYPES[match?.[1]?.toLowerCase() ?? ''];
  if (match === null || ecosystem === undefined) return null;
  const path = match[2]!;
  // The version stands behind the last `@`; that of an npm scope is written as %40, or stands first.
  const at = path.lastIndexOf('@');
  const hasVersion = at > path.lastIndexOf('/');
  const parts = (hasVersion && at > 0 ? path.slice(0, at) : path).split('/').map(decode);
  const version = hasVersion && at > 0 ? decode(path.slice(at + 1)) : null;
  return { ecosystem, name: parts.join(ecosystem === 'maven' ? ':' : '/'), version };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
