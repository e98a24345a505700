import type { Alert } from '../contract/administration.ts';

/** An alert as a rule words it, before it has an id, a time and a link. */
export type AlertDraft = Pick<Alert, 'rule' | 'subject' | 'severity' | 'title' | 'text'>;
