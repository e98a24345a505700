/** Compares releases number by number: `2.1693.0` is later than `2.722.0`. */

/**
 * Returns a negative number if `a` is earlier than `b`, and null if one of them is not a version. A
 * pre-release (`3.0.0-rc.1`, `0.1.0-preview.1`) is earlier than its release. Missing numbers are 0. Text
 * after a `+`, a `~` or a space is ignored.
 */
export function compareVersions(a: string, b: string): number | null {
  const [left, right] = [parse(a), parse(b)];
  if (left === null || right === null) return null;
  const length = Math.max(left.numbers.length, right.numbers.length);
  for (let index = 0; index < length; index++) {
    const difference = (left.numbers[index] ?? 0) - (right.numbers[index] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  return Number(right.isPreRelease) - Number(left.isPreRelease);
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

function parse(text: string): { numbers: number[]; isPreRelease: boolean } | null {
  const match = /^v?(\d{1,9}(?:\.\d{1,9}){0,5})(-[0-9A-Za-z])?/.exec(text);
  if (match === null) return null;
  return { numbers: match[1]!.split('.').map(Number), isPreRelease: match[2] !== undefined };
}
