/** Amounts by name, as gaps and days keep them: JSON of a bounded number of names. */

/** Of one gap or day. An agent has some thirty reasons to lose something; whoever makes up names must not make rows without end. */
const MAX_AMOUNTS = 100;
const MAX_NAME_CHARACTERS = 100;

/** Sums by name, as JSON; null where there are none. Names beyond the bound are summed as `other`. */
export function addAmounts(json: string | null, moreJson: string | null): string | null {
  const sums = new Map<string, number>();
  for (const amounts of [json, moreJson]) {
    for (const [given, amount] of Object.entries(JSON.parse(amounts ?? '{}') as Record<string, number>)) {
      const isKnown = sums.has(given) || (sums.size < MAX_AMOUNTS && given.length <= MAX_NAME_CHARACTERS);
      const name = isKnown ? given : 'other';
      sums.set(name, Math.min((sums.get(name) ?? 0) + amount, Number.MAX_SAFE_INTEGER));
    }
  }
  return sums.size === 0 ? null : JSON.stringify(Object.fromEntries(sums));
}
