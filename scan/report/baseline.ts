/** Reads the fingerprints of an earlier report: our JSON, or SARIF. */
import * as z from 'zod';

/** Name of the fingerprint in SARIF. The number changes when the way to compute it changes. */
export const FINGERPRINT_NAME = 'imdswatch/v1';

const ours = z.object({ findings: z.array(z.object({ fingerprint: z.string() })) });
const sarif = z.object({
  runs: z.array(
    z.object({
      results: z
        .array(z.object({ partialFingerprints: z.record(z.string(), z.string()).optional() }))
        .optional(),
    }),
  ),
});

/** Returns null for a text that is no report. */
export function readBaseline(text: string): Set<string> | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const own = ours.safeParse(value);
  if (own.success) return new Set(own.data.findings.map(({ fingerprint }) => fingerprint));
  const log = sarif.safeParse(value);
  if (!log.success) return null;
  const all = log.data.runs.flatMap(({ results = [] }) =>
    results.map(({ partialFingerprints }) => partialFingerprints?.[FINGERPRINT_NAME]),
  );
  return new Set(all.filter((one) => one !== undefined));
}
