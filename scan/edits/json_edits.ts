/** Makes the smallest insertions into JSON. Pure. */
import type { Edit } from '../finding.ts';
import { indentAt, isFirstOnLine, lineEndingAt } from './layout.ts';

/**
 * Inserts a member at the end of an object, given by the span between its braces. `lastEnd` is the end of its
 * last member, or null for an empty object.
 */
export function insertIntoJsonObject(
  path: string,
  text: string,
  bodyStart: number,
  bodyEnd: number,
  lastEnd: number | null,
  member: string,
): Edit[] {
  if (lastEnd === null) return [{ path, start: bodyStart, end: bodyEnd, text: member }];
  const firstMember = bodyStart + /^\s*/.exec(text.slice(bodyStart, bodyEnd))![0].length;
  const isOnLines = isFirstOnLine(text, firstMember) && text.slice(bodyStart, firstMember).includes('\n');
  const between = isOnLines ? lineEndingAt(text, bodyStart) + indentAt(text, firstMember) : ' ';
  return [{ path, start: lastEnd, end: lastEnd, text: `,${between}${member}` }];
}
