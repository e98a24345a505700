/** Version constraints of Terraform modules (Terraform language, "Version Constraints"). Pure. */

/** Major, minor and patch. */
export type Version = readonly [number, number, number];

/** Stands for a release that is newer than all known ones. */
export const LATEST: Version = [Number.MAX_SAFE_INTEGER, 0, 0];

export function compareVersions(one: Version, other: Version): number {
  return one[0] - other[0] || one[1] - other[1] || one[2] - other[2];
}

/**
 * Returns the newest version that a constraint allows, which is the one that `terraform init` chooses; `LATEST`
 * when it has no upper bound; null when it cannot be read. For an open bound such as `< 6.0` the version is the
 * last one below it.
 */
export function newestAllowed(constraint: string): Version | null {
  let newest: Version = LATEST;
  for (const part of constraint.split(',')) {
    const bound = upperBound(part.trim());
    if (bound === null) return null;
    if (compareVersions(bound, newest) < 0) newest = bound;
  }
  return newest;
}

function upperBound(part: string): Version | null {
  const match = /^(=|!=|>=|<=|>|<|~>)?\s*v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-[\w.]+)?$/.exec(part);
  if (match === null) return null;
  const [, operator = '=', major, minor, patch] = match;
  const version: Version = [Number(major), Number(minor ?? 0), Number(patch ?? 0)];
  switch (operator) {
    case '=':
    case '<=':
      return version;
    case '<':
      return before(version);
    case '~>': {
      if (patch !== undefined) return [version[0], version[1], LAST];
      return minor === undefined ? LATEST : [version[0], LAST, LAST];
    }
    default:
      return LATEST;
  }
}

/** Number of the last minor or patch release, whichever it is. */
const LAST = Number.MAX_SAFE_INTEGER;

function before([major, minor, patch]: Version): Version {
  if (patch > 0) return [major, minor, patch - 1];
  if (minor > 0) return [major, minor - 1, LAST];
  return major > 0 ? [major - 1, LAST, LAST] : [0, 0, 0];
}

/** Returns the version as text: `5.x` where the end is open. */
export function versionText(version: Version): string {
  if (version === LATEST) return 'the latest release';
  const parts = version.filter((part) => part !== LAST);
  return parts.length === 3 ? parts.join('.') : `${parts.join('.')}.x`;
}
