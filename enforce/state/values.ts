/** The values that a step is to bring about, and those that undo it. Pure. */
import type { MetadataOptions, OptionsChange, PlanStep, Recorded } from '../plan.ts';

/**
 * Returns the values that the target has after the step. `version`: number of the template version that the step
 * `created_by` has made; only steps that go live need it.
 */
export function valuesAfter(
  { change }: Pick<PlanStep, 'change'>,
  before: Recorded,
  version: number | null,
): Recorded {
  switch (before.type) {
    case 'instance':
    case 'template':
      return { ...before, options: changed(before.options, change) };
    case 'template_default':
      return { ...before, version: version ?? before.version };
    case 'group_version':
      return { ...before, reference: version ?? before.reference };
    case 'account_default':
      return {
        ...before,
        defaults: { ...before.defaults, http_tokens: change.http_tokens ?? before.defaults.http_tokens },
      };
  }
}

function changed(options: MetadataOptions, { http_tokens, hop_limit }: OptionsChange): MetadataOptions {
  return {
    ...options,
    http_tokens: http_tokens ?? options.http_tokens,
    hop_limit: hop_limit ?? options.hop_limit,
  };
}

/** Returns the change that gives an instance its recorded values back: the planned fields and no others. */
export function changeBack({ change }: Pick<PlanStep, 'change'>, before: Recorded): OptionsChange {
  if (before.type !== 'instance') return {};
  const { http_tokens, hop_limit } = before.options;
  return {
    // It is said, never left out: what is left out keeps its present value.
    ...(change.http_tokens === undefined || http_tokens === null ? {} : { http_tokens }),
    ...(change.hop_limit === undefined || hop_limit === null ? {} : { hop_limit }),
  };
}
