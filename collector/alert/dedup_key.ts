/** Makes the key by which receivers recognise alerts about one condition. */
import { createHash } from 'node:crypto';
import { type AlertRule, MAX_DEDUP_KEY_CHARACTERS } from '../contract/alert.ts';

/** Returns `RULE/SUBJECT`, or a hash in place of a subject that is too long. */
export function dedupKeyOf(rule: AlertRule, subject: string): string {
  const plain = `${rule}/${subject.toWellFormed()}`;
  if (plain.length <= MAX_DEDUP_KEY_CHARACTERS) return plain;
  return `${rule}/sha256:${createHash('sha256').update(subject).digest('hex')}`;
}
