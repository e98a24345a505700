/** Parts of a document that are generated, between two comments; the rest is written by hand and stays as it is. */

const END = '<!-- end of the generated part -->';

/** Throws where a part is not in the document, or the document has one that nobody makes. */
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
