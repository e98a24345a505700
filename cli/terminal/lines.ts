/** Lines of tables of readiness: their width, cells of a fixed width, and texts below them. */
import { visibleText } from './visible_text.ts';

const MIN_COLUMNS = 80;
const MAX_COLUMNS = 160;
export const INDENT = '    ';

/** Returns each note on the commands once, below the table. */
export function notesOf(notes: readonly (readonly string[])[], width: number): string[] {
  const distinct = [...new Set(notes.flat())];
  return distinct.length === 0
    ? []
    : [
        '',
        'Before you run the commands:',
        ...distinct.flatMap((note) => wrap(`- ${visibleText(note)}`, width)),
      ];
}

export function widthOf(columns: number): number {
  return Math.min(MAX_COLUMNS, Math.max(MIN_COLUMNS, columns));
}

/** Returns exactly `width` characters: the text is padded or cut. */
export function fit(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text.padEnd(width) : `${characters.slice(0, width - 1).join('')}…`;
}

/** Breaks a text into lines at its spaces. A word that is longer than a line is cut. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const joined = line === '' ? word : `${line} ${word}`;
    if ([...joined].length <= width) {
      line = joined;
      continue;
    }
    if (line !== '') lines.push(line);
    let rest = [...word];
    while (rest.length > width) {
      lines.push(rest.slice(0, width).join(''));
      rest = rest.slice(width);
    }
    line = rest.join('');
  }
  return line === '' ? lines : [...lines, line];
}
