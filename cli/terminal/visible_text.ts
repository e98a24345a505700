/**
 * Makes text from outside (paths, user agents, roles) safe for a terminal. A character that could move the
 * cursor, change colours or reverse the reading order becomes an escape: C0, DEL and C1 controls, line and
 * paragraph separators, invisible format characters (Unicode category Cf, with the bidirectional ones) and
 * lone surrogates.
 */
export function visibleText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    const code = character.codePointAt(0)!;
    return code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** Applies `visibleText` to each line of a text and keeps its line breaks. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visibleText).join('\n');
}

/** Returns the JSON of a value with escapes for all characters that a terminal acts on. */
export function visibleJson(value: unknown, indent?: number): string {
  return escapedJson(JSON.stringify(value, null, indent));
}

/**
 * Returns the same JSON with escapes for the characters that `visibleText` escapes. Outside of strings, valid
 * JSON has none of them except line breaks, which stay.
 */
export function escapedJson(json: string): string {
  // Nearly every call is plain text, which is found much faster than characters by their category.
  if (!/[^\n\x20-\x7e]/.test(json)) return json;
  return json.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) =>
    character === '\n'
      ? character
      : Array.from(
          { length: character.length },
          (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
        ).join(''),
  );
}
