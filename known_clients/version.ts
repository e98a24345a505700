/** Compares releases number by number: `2.1693.0` is later than `2.722.0`. */

/**
 * Returns a negative number if `a` is earlier than `b`, and null if one of them is not a version. Missing
 * numbers are 0. A pre-release (`3.0.0-rc.1`, `0.1.0-preview.1`, `1.0b2`) is earlier than its release. A
 * number after a hyphen is later than the release without one: it counts the commits after it (`git
 * describe`, as in `19.4-33-gbb4131a2`) or is the revision of a distribution's package. Any other text after
 * the numbers is ignored.
 */
export function compareVersions(a: string, b: string): number | null {
  const [left, right] = [parse(a), parse(b)];
  if (left === null || right === null) return null;
  const length = Math.max(left.numbers.length, right.numbers.length);
  for (let index = 0; index < length; index++) {
    const difference = (left.numbers[index] ?? 0) - (right.numbers[index] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  const isLater = Number(right.isPreRelease) - Number(left.isPreRelease);
  return isLater !== 0 ? isLater : Math.sign(left.after - right.after);
}

/** Returns the earliest first. Texts that are not versions come last, in alphabetical order. */
export function sortVersions(versions: readonly string[]): string[] {
  return versions.toSorted((a, b) => {
    const order = compareVersions(a, b);
    if (order !== null && order !== 0) return order;
    if (order === null && (parse(a) === null) !== (parse(b) === null)) return parse(a) === null ? 1 : -1;
    return a < b ? -1 : a > b ? 1 : 0;
  });
}

const NUMBERS = /^v?(\d{1,9}(?:\.\d{1,9}){0,5})/;
const PRE_RELEASE =
  /^[-._~]?(?:alpha|beta|preview|pre|rc|dev|snapshot|milestone|nightly|m\d|a\d|b\d|[ab]\.)/i;
const AFTER = /^-(\d{1,9})(?![\w.])|^-(\d{1,9})(?=[-.+~])/;

function parse(text: string): { numbers: number[]; isPreRelease: boolean; after: number } | null {
  const match = NUMBERS.exec(text);
  if (match === null) return null;
  const rest = text.slice(match[0].length, match[0].length + 40);
  const after = AFTER.exec(rest);
  return {
    numbers: match[1]!.split('.').map(Number),
    isPreRelease: PRE_RELEASE.test(rest),
    after: Number(after?.[1] ?? after?.[2] ?? 0),
  };
}
