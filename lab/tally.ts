/** Counts the calls of the lab by program and script, and compares a list of offenders with them. */
import type { Truth } from './ledger.ts';

/**
 * Calls of one identity: of all processes with the same program and script. The user is always the one who
 * runs the lab.
 */
export interface IdentityTally {
  executable: string;
  script: string | null;
  /** Requests without a session token, with any answer or none. */
  v1: number;
  v2: number;
  /** Role credentials that were delivered without a session token. */
  credentialsOverV1: number;
}

export function tallyByIdentity(truths: readonly Truth[]): IdentityTally[] {
  const tallies = new Map<string, IdentityTally>();
  for (const { owner, version, category, status } of truths) {
    if (owner === null || version === null) continue;
    const { executable, script } = owner;
    const key = identityKey({ executable, script });
    const tally = tallies.get(key) ?? { executable, script, v1: 0, v2: 0, credentialsOverV1: 0 };
    if (version === 2) tally.v2++;
    else tally.v1++;
    if (version === 1 && category === 'credentials' && status === 200) tally.credentialsOverV1++;
    tallies.set(key, tally);
  }
  return [...tallies.values()];
}

/**
 * One row of a list of offenders. `executable` is null if it is not known. A program has one row for each
 * image, unit and pod container in which it ran; the lab does not distinguish those.
 */
export type ListedOffender = Omit<IdentityTally, 'executable'> & { executable: string | null };

/**
 * Returns one line for each difference. Every identity that called IMDSv1 must be listed, and its rows
 * together must have exactly its counts. Nobody else may be listed with IMDSv1 calls.
 */
export function compareOffenders(truths: readonly Truth[], listed: readonly ListedOffender[]): string[] {
  const differences: string[] = truths
    .filter(({ owner }) => owner === null)
    .map(({ method, target }) => `the lab itself cannot say who asked for ${method} ${target}`);
  const rows = Map.groupBy(listed, identityKey);
  for (const tally of tallyByIdentity(truths)) {
    const key = identityKey(tally);
    const own = rows.get(key);
    rows.delete(key);
    if (own === undefined) {
      if (tally.v1 > 0) differences.push(`${key} is not listed; it made ${tally.v1} IMDSv1 calls`);
      continue;
    }
    const row = summed(own);
    if (row.v1 !== tally.v1)
      differences.push(`${key} is listed with ${row.v1} IMDSv1 calls; it made ${tally.v1}`);
    if (row.v2 !== tally.v2)
      differences.push(`${key} is listed with ${row.v2} IMDSv2 calls; it made ${tally.v2}`);
    if (row.credentialsOverV1 !== tally.credentialsOverV1) {
      const [listedTimes, times] = [row.credentialsOverV1, tally.credentialsOverV1];
      differences.push(
        `${key} is listed as having taken credentials over IMDSv1 ${listedTimes} times, not ${times}`,
      );
    }
  }
  for (const [key, surplus] of rows) {
    for (const { v1, v2 } of surplus)
      differences.push(`${key} is listed with ${v1} + ${v2} calls; the lab ran no such thing`);
  }
  return differences;
}

function summed(rows: readonly ListedOffender[]): Omit<ListedOffender, 'executable' | 'script'> {
  const sum = (of: 'v1' | 'v2' | 'credentialsOverV1') => rows.reduce((total, row) => total + row[of], 0);
  return { v1: sum('v1'), v2: sum('v2'), credentialsOverV1: sum('credentialsOverV1') };
}

function identityKey({ executable, script }: { executable: string | null; script: string | null }): string {
  return script === null ? String(executable) : `${executable} ${script}`;
}
