/**
 * Replaces the generated parts of a document, which stand between two comments. The rest is written by hand.
 */

const END = '<!-- end of the generated part -->';

/**
 * Returns the document with these parts. Throws if the document has no place for one, or a place without a
 * part.
 */
export function withGeneratedParts(document: string, parts: ReadonlyMap<string, string>): string {
  const missing = new Set(parts.keys());
  const filled = document.replace(
    /<!-- generated: ([a-z_]+) -->\n[\s\S]*?<!-- end of the generated part -->/g,
    (_, name: string) => {
      const text = parts.get(name);
      if (text === undefined) throw new Error(`nobody generates the part "${name}"`);
      missing.delete(name);
      return `<!-- generated: ${name} -->\n\n${text.trim()}\n\n${END}`;
    },
  );
  if (missing.size > 0)
    throw new Error(`there is no place for the generated part ${[...missing].join(', ')}`);
  return filled;
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

export function code(text: string): string {
  return `\`${text}\``;
}
