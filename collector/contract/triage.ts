/** Schemas of triage: what people decided about an offender. The state belongs to the workload, with all its releases. */
import * as z from 'zod';
import { isIdentifier } from '../../protocol/text_bounds.ts';
import { time } from './window.ts';

/**
 * `open`: nobody works on it. `in_progress`: somebody does. `exception`: it may go on until a date, for a reason.
 * `fixed`: it should not call IMDSv1 any more. No state changes a verdict.
 */
export const triageState = z.enum(['open', 'in_progress', 'exception', 'fixed']);

export const triage = z.object({
  /** The state now. A state that ended by itself is `open`, and `ended` says why. */
  state: triageState,
  /** `called_again`: it was fixed, and called IMDSv1 after that. `exception_over`: its date has passed. */
  ended: z.enum(['called_again', 'exception_over']).nullable(),
  /** When somebody set the state, and who; null where nobody did. */
  set: time.nullable(),
  set_by: z.string().nullable(),
  /** End of the exception, also of one that is over. */
  until: time.nullable(),
  /** Why there is an exception. */
  reason: z.string().nullable(),
  owner: z.string().nullable(),
  /** `person`: somebody set the owner. `rule`: an owner rule names it. */
  owner_by: z.enum(['person', 'rule']).nullable(),
  /** Address of a ticket. */
  ticket: z.string().nullable(),
  notes: z.string().nullable(),
});

/** One line of plain text, without spaces around it. */
const line = (max: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(max)
    .refine(isIdentifier, 'must be one line of text without control characters');

const ticketUrl = z
  .url({ protocol: /^https?$/, error: 'must be a URL that begins with http:// or https://' })
  .max(500)
  .refine((url) => {
    const parsed = URL.parse(url); // null for what the first check has refused already
    return parsed === null || (parsed.username === '' && parsed.password === '');
  }, 'must not contain a user name or a password');

const noteText = z
  .string()
  .trim()
  .min(1)
  .max(2000)
  .refine(
    (text) => text.split('\n').every((each) => each.trim() === '' || isIdentifier(each)),
    'must be plain text: its lines must have no control characters',
  );

/** A change of a workload's triage. Fields that are left out stay; null removes a text. */
export const triageChange = z
  .strictObject({
    state: triageState.optional(),
    /** End of an exception, in the future. Required with the state `exception`, and only with it. */
    until: z.iso.datetime({ offset: true }).optional(),
    /** Required with the state `exception`, and only with it. */
    reason: line(500).optional(),
    owner: line(100).nullable().optional(),
    ticket: ticketUrl.nullable().optional(),
    notes: noteText.nullable().optional(),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), 'must change something')
  .refine(
    ({ state, until, reason }) =>
      (state === 'exception') === (until !== undefined) && (until === undefined) === (reason === undefined),
    'an exception needs until and reason, and no other state has them',
  );

export type TriageState = z.infer<typeof triageState>;
export type Triage = z.infer<typeof triage>;
export type TriageChange = z.infer<typeof triageChange>;

/** The stored triage of a workload. Times are microseconds since 1970. */
export interface TriageRecord {
  workload: string;
  state: TriageState;
  setUs: number;
  setBy: string;
  untilUs: number | null;
  reason: string | null;
  owner: string | null;
  ticket: string | null;
  notes: string | null;
}
