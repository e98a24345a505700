import type { Alert } from '../contract/alert.ts';

/** An alert as a rule words it, before it has an id, a time, a key and a link. */
export interface AlertDraft
  extends Pick<Alert, 'rule' | 'subject' | 'state' | 'severity' | 'title' | 'text' | 'object' | 'hosts'> {
  /** The alerts that a summary stands for. People get the summary, machines get these. */
  members?: readonly AlertDraft[];
}

/** The part that most rules word alike. */
export type AlertWords = Pick<AlertDraft, 'rule' | 'subject' | 'severity' | 'title' | 'text'>;

/** An alert that something was found. */
export function firing(
  words: AlertWords,
  object: AlertDraft['object'],
  hosts: AlertDraft['hosts'] = [],
): AlertDraft {
  return { ...words, state: 'firing', object, hosts };
}

/**
 * An alert that what was found before is over. `object` is null where the thing is not known any more. It is then taken
 * from the alert that is resolved.
 */
export function resolved(words: AlertWords, object: AlertDraft['object'] = null): AlertDraft {
  return { ...words, state: 'resolved', object, hosts: [] };
}
