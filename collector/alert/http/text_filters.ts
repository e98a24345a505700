/** Texts for receivers that have limits, or that read markup. */

/** Cuts a text to `most` UTF-16 units. */
export function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, Math.max(0, most - 1)).toWellFormed()}…`;
}

/** Cuts a text to `most` bytes of UTF-8. */
export function cutBytes(text: string, most: number): string {
  let bytes = 0;
  let end = 0;
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > most) return text.slice(0, end);
    end += character.length;
  }
  return text;
}

/**
 * Escapes `<…>`, which could be a link or a mention of everybody (docs.slack.dev, "Formatting message text"), and cuts the
 * text, but never inside an escape sequence.
 */
export function slackEscaped(text: string, most: number): string {
  let result = '';
  for (const character of text) {
    const next = character.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
    if (result.length + next.length >= most) return `${result}…`;
    result += next;
  }
  return result;
}

/** Escapes what Markdown gives a meaning (CommonMark 0.31, section 2.4), so that a name cannot be a link. */
export function markdownEscaped(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+\-.!|<>~]/g, '\\$&');
}
