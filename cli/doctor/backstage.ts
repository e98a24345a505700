/** Checks that the catalogue of Backstage, which names owners, was read lately and without a defect. */
import type { OwnerCatalogue } from '../../collector/contract/owner.ts';
import { readOwnerRules } from '../../collector/local.ts';
import { AS_ROOT, type Check, type CollectorSide, type Finding, isDenied, ok, skip, warn } from './check.ts';
import { spanText } from './quantity.ts';

const SEE_OWNERS = '"imdswatch owners list" shows them. "Backstage" in docs/operate.md says what each means.';

export const backstage: Check<CollectorSide> = {
  name: 'backstage',
  applies: ({ settings }) => settings.backstage_url !== undefined,
  async run({ settings }) {
    try {
      const { catalogue } = await readOwnerRules(settings, { backstageUrl: settings.backstage_url });
      return catalogueFindings(catalogue!, settings.backstage_interval_seconds, Date.now());
    } catch (error) {
      if (isDenied(error)) return [skip(`reading ${settings.data_dir} needs root`, AS_ROOT)];
      throw error;
    }
  },
};

/** `intervalSeconds`: time from one reading to the next. */
export function catalogueFindings(
  { url, read, rules, failures, error, left_out, rules_ambiguous, rules_invalid, unreadable }: OwnerCatalogue,
  intervalSeconds: number,
  nowMs: number,
): Finding[] {
  const ageSeconds = read === null ? null : Math.max(0, (nowMs - Date.parse(read)) / 1000);
  const age = ageSeconds === null ? 'was never read' : `was read ${spanText(ageSeconds)} ago`;
  const defects: [number, string][] = [
    [left_out, 'entities beyond the limit were left out'],
    [unreadable, 'entities cannot be read'],
    [rules_invalid, 'rules cannot be used'],
    [rules_ambiguous, 'rules have more than one owner'],
  ];
  const known = defects.filter(([number]) => number > 0).map(([number, text]) => `${number} ${text}`);
  const isLate = ageSeconds === null || ageSeconds > 2 * intervalSeconds;
  const remedy =
    error === null
      ? 'A collector with backstage_url reads it while it runs: check that one runs, and its log.'
      : 'Check backstage_url, backstage_token_file and backstage_ca_file. Owners stay those of the last copy.';
  const failed = failures === 0 ? '' : `; ${failures} attempts have failed since, the last with: ${error}`;
  const isGood = !isLate && failures === 0;
  return [
    isGood
      ? ok(`the catalogue ${url} ${age}; ${rules} rules name owners`)
      : warn(`the catalogue ${url} ${age}${failed}`, remedy),
    ...(known.length === 0 ? [] : [warn(`in the catalogue ${known.join(', ')}`, SEE_OWNERS)]),
  ];
}
