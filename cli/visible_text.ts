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
