/** Reads the layout of a text, so that inserted lines look like their neighbours. Pure. */

export function lineStartOf(text: string, index: number): number {
  return text.lastIndexOf('\n', index - 1) + 1;
}

/** Returns the spaces and tabs that begin the line of this index. */
export function indentAt(text: string, index: number): string {
  return /^[ \t]*/.exec(text.slice(lineStartOf(text, index), lineStartOf(text, index) + 200))![0];
}

/** Returns the line ending of the text, by the one nearest before or after the index. */
export function lineEndingAt(text: string, index: number): string {
  const after = text.indexOf('\n', index);
  const at = after === -1 ? text.lastIndexOf('\n', index) : after;
  return at > 0 && text[at - 1] === '\r' ? '\r\n' : '\n';
}

/** Returns whether only spaces and tabs stand before the index on its line. */
export function isFirstOnLine(text: string, index: number): boolean {
  return text.slice(lineStartOf(text, index), index).trim() === '';
}

/** Returns one step of indentation that fits to an outer and an inner line. */
export function indentStep(outer: string, inner: string | null): string {
  if (inner?.startsWith(outer) && inner.length > outer.length) return inner.slice(outer.length);
  return outer.includes('\t') ? '\t' : '  ';
}
