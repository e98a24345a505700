/** Measures how many columns a text takes on a terminal, and cuts a text to a number of columns. */

/** East Asian wide and fullwidth characters and emoji (Unicode Standard Annex 11) take two columns. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const PLAIN = /^[\x20-\x7e]*$/;

export function columnsOf(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += WIDE.test(character) ? 2 : 1;
  return columns;
}

/** Returns the longest beginning of `text` that takes at most `columns`; no character is split. */
export function cutToColumns(text: string, columns: number): string {
  if (PLAIN.test(text)) return text.slice(0, columns);
  let room = columns;
  let cut = '';
  for (const character of text) {
    room -= WIDE.test(character) ? 2 : 1;
    if (room < 0) break;
    cut += character;
  }
  return cut;
}
