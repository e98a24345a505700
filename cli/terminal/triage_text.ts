/** Says in a few words what people decided about a workload. */
import type { Triage } from '../../collector/contract/triage.ts';
import { visibleText } from './visible_text.ts';

/** Returns nothing for a workload that nobody has looked at. */
export function triageTexts({ state, ended, until, owner, ticket }: Triage): string[] {
  const texts: string[] = [];
  if (ended === 'called_again') texts.push('FIXED, BUT CALLED AGAIN');
  if (ended === 'exception_over') texts.push(`its exception ended ${dayOf(until)}`);
  if (state === 'in_progress') texts.push('in progress');
  if (state === 'exception') texts.push(`exception until ${dayOf(until)}`);
  if (state === 'fixed') texts.push('fixed');
  if (owner !== null) texts.push(`owner ${visibleText(owner)}`);
  if (ticket !== null) texts.push(visibleText(ticket));
  return texts;
}

function dayOf(time: string | null): string {
  return time === null ? '?' : time.slice(0, 10);
}
