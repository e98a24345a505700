/**
 * Text from the field (paths, user agents, roles) made safe for a terminal: whatever could move the cursor, change colours
 * or turn the reading order is shown as an escape and never sent raw. Covers C0, DEL and C1 controls, line and
 * paragraph separators, bidirectional and other invisible format characters (Unicode category Cf), and lone surrogates.
 */
export function visibleText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    const code = character.codePointAt(0)!;
    return code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** Returns a text of several lines, each as `visibleText` shows it. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visibleText).join('\n');
}

/** Returns JSON that a terminal can be shown: the same value when it is parsed, with nothing that a terminal acts on. */
export function visibleJson(value: unknown, indent?: number): string {
  return escapedJson(JSON.stringify(value, null, indent));
}

/**
 * Returns the same JSON with escapes for what `visibleText` escapes. Outside of strings valid JSON has no such character but the line
 * ends between its parts, which stay.
 */
export function escapedJson(json: string): string {
  return json.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) =>
    character === '\n'
      ? character
      : Array.from(
          { length: character.length },
          (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
        ).join(''),
  );
}
