/** Amounts by name in the rows of gaps and days: JSON with a bounded number of names. */

/**
 * Names in one gap or day. A real agent has some thirty reasons for losses; made-up names must not grow a row
 * without end.
 */
const MAX_AMOUNTS = 100;
const MAX_NAME_CHARACTERS = 100;

/**
 * Adds up two JSON objects of amounts by name; null stands for none. Names beyond the bound are summed as
 * `other`.
 */
export function addAmounts(json: string | null, moreJson: string | null): string | null {
  const sums = new Map<string, number>();
  for (const amounts of [json, moreJson]) {
    for (const [sentName, amount] of Object.entries(JSON.parse(amounts ?? '{}') as Record<string, number>)) {
      const isKnown =
        sums.has(sentName) || (sums.size < MAX_AMOUNTS && sentName.length <= MAX_NAME_CHARACTERS);
      const name = isKnown ? sentName : 'other';
      sums.set(name, Math.min((sums.get(name) ?? 0) + amount, Number.MAX_SAFE_INTEGER));
    }
  }
  return sums.size === 0 ? null : JSON.stringify(Object.fromEntries(sums));
}
