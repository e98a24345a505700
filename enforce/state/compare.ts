/** Compares what the cloud says about a target with the values that the journal has recorded. Pure. */
import type { MetadataOptions, OptionsChange, PlanStep, Recorded } from '../plan.ts';

/**
 * - `after`: our change is in force. `before`: it is not. `other`: somebody else has changed the same value; `detail`
 *   says to what.
 */
export interface Comparison {
  result: 'after' | 'before' | 'other';
  detail: string;
  /** Values that nobody planned to change and that are not as recorded. Empty if there are none. */
  unplanned: string;
}

const AFTER: Comparison = { result: 'after', detail: '', unplanned: '' };
const BEFORE: Comparison = { result: 'before', detail: '', unplanned: '' };

/** `before` and `after` are what the journal has; `current` is what was read. All are of the step's target. */
export function compare(step: PlanStep, before: Recorded, after: Recorded, current: Recorded): Comparison {
  switch (current.type) {
    case 'instance':
      if (before.type !== 'instance' || after.type !== 'instance') return otherKind(current);
      return compareOptions(step.change, before.options, after.options, current.options);
    case 'template': {
      if (before.type !== 'template' || after.type !== 'template') return otherKind(current);
      if (current.latest_version === before.latest_version) return BEFORE;
      if (current.rest_sha256 !== before.rest_sha256) {
        return other(`version ${current.version} differs in more than the metadata options`);
      }
      const options = compareOptions(step.change, before.options, after.options, current.options);
      // The number of our version is known only from its answer.
      if (
        options.result === 'after' &&
        after.version > before.latest_version &&
        current.version !== after.version
      ) {
        return other(`version ${current.version} is newer than ours, which is ${after.version}`);
      }
      return options;
    }
    case 'template_default':
      if (before.type !== current.type || after.type !== current.type) return otherKind(current);
      return compareValue('the default version', before.version, after.version, current.version);
    case 'group_version':
      if (before.type !== current.type || after.type !== current.type) return otherKind(current);
      return compareValue('the version of the group', before.reference, after.reference, current.reference);
    case 'account_default':
      if (before.type !== current.type || after.type !== current.type) return otherKind(current);
      return compareValue(
        'the default for tokens',
        before.defaults.http_tokens,
        after.defaults.http_tokens,
        current.defaults.http_tokens,
      );
  }
}

function compareOptions(
  change: OptionsChange,
  before: MetadataOptions,
  after: MetadataOptions,
  current: MetadataOptions,
): Comparison {
  const keys = Object.keys(current) as (keyof MetadataOptions)[];
  const isPlanned = (key: keyof MetadataOptions) => Object.hasOwn(change, key);
  const tell = (key: keyof MetadataOptions) => `${key} is ${current[key]} and was ${before[key]}`;
  const planned = keys.filter(isPlanned);
  const foreign = planned.filter((key) => current[key] !== before[key] && current[key] !== after[key]);
  const unplanned = keys
    .filter((key) => !isPlanned(key) && current[key] !== before[key])
    .map(tell)
    .join(', ');
  if (foreign.length > 0) return { ...other(foreign.map(tell).join(', ')), unplanned };
  const isInForce = planned.every((key) => current[key] === after[key]);
  return { ...(isInForce ? AFTER : BEFORE), unplanned };
}

function compareValue<T>(name: string, before: T, after: T, current: T): Comparison {
  if (current === after) return AFTER;
  return current === before ? BEFORE : other(`${name} is ${current}, was ${before}, and was set to ${after}`);
}

function other(detail: string): Comparison {
  return { result: 'other', detail, unplanned: '' };
}

function otherKind({ type }: Recorded): Comparison {
  return other(`the journal has no values of a target of type ${type}`);
}
