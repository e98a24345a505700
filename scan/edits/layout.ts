/** Reads the layout of a text, so that inserted lines look like their neighbours. Pure. */

/** Generated code has lines of megabytes; nobody looks at the layout of those. */
const LONGEST_LINE = 10_000;

/** Returns the index at which the line of this index starts, or one `LONGEST_LINE` before. */
export function lineStartOf(text: string, index: number): number {
  const from = Math.max(index - LONGEST_LINE, 0);
  const at = text.slice(from, index).lastIndexOf('\n');
  return at === -1 ? from : from + at + 1;
}

/** Returns the spaces and tabs that begin the line of this index. */
export function indentAt(text: string, index: number): string {
  return /^[ \t]*/.exec(text.slice(lineStartOf(text, index), lineStartOf(text, index) + 200))![0];
}

/** Returns the line ending of the text, by the one nearest before or after the index. */
export function lineEndingAt(text: string, index: number): string {
  const from = Math.max(index - LONGEST_LINE, 0);
  const near = text.slice(from, index + LONGEST_LINE);
  const after = near.indexOf('\n', index - from);
  const at = after === -1 ? near.lastIndexOf('\n') : after;
  return at > 0 && near[at - 1] === '\r' ? '\r\n' : '\n';
}

/** Returns whether only spaces and tabs stand before the index on its line. Lines may be megabytes long. */
export function isFirstOnLine(text: string, index: number): boolean {
  let at = index - 1;
  while (at >= 0 && (text[at] === ' ' || text[at] === '\t')) at--;
  return at < 0 || text[at] === '\n' || (at === 0 && text[at] === '\ufeff');
}

/** Returns one step of indentation that fits to an outer and an inner line. */
export function indentStep(outer: string, inner: string | null): string {
  if (inner?.startsWith(outer) && inner.length > outer.length) return inner.slice(outer.length);
  return outer.includes('\t') ? '\t' : '  ';
}
