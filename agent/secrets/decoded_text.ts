/** Decodes encoded characters, and keeps for each decoded character its place in the raw text. */

/** A part of a text. `to` is the position behind its last character. */
export interface Span {
  from: number;
  to: number;
}

export interface DecodedText {
  text: string;
  /** The position in the raw text at which each character of `text` begins. */
  starts: Uint32Array;
  /** The position in the raw text at which each character of `text` ends. */
  ends: Uint32Array;
}

/** Nobody uses a secret that was encoded more often than this. */
const MAX_ROUNDS = 4;

/**
 * Matches everything that may stand for one character: percent-encoding, escapes of JSON and programming
 * languages (`\/`, `\u002f`, `\x2f`), character references of HTML. It also matches everything that a shell
 * or a language removes between two parts of one word: adjacent quotes, a line continuation.
 */
const ENCODED =
  /%([0-9a-f]{2})|\\{1,8}(?:u00([0-9a-f]{2})|x([0-9a-f]{2})|([/+=_-]))|&#(?:x0{0,4}([0-9a-f]{2})|0{0,4}(\d{2,3}));|\\\r?\n|["']{2}|["'] ?\+ ?["']/gi;
const MAY_BE_ENCODED = /[%\\]|&#|["'](?: ?\+ ?)?["']/;

/** Returns the decoded forms that differ from the text, one for each round of decoding. */
export function decodedForms(raw: string): DecodedText[] {
  const forms: DecodedText[] = [];
  let last: DecodedText | null = null;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const next = decodedOnce(last === null ? raw : last.text, last);
    if (next === null) break;
    forms.push(next);
    last = next;
  }
  return forms;
}

function decodedOnce(text: string, before: DecodedText | null): DecodedText | null {
  if (!MAY_BE_ENCODED.test(text)) return null;
  const starts = new Uint32Array(text.length + 1);
  const ends = new Uint32Array(text.length + 1);
  let out = '';
  let length = 0;
  let done = 0;
  let changed = false;
  const copy = (to: number) => {
    out += text.slice(done, to);
    for (let at = done; at < to; at++, length++) {
      starts[length] = before === null ? at : before.starts[at]!;
      ends[length] = before === null ? at + 1 : before.ends[at]!;
    }
  };
  ENCODED.lastIndex = 0;
  for (let found = ENCODED.exec(text); found; found = ENCODED.exec(text)) {
    const character = characterOf(found);
    if (character === null) continue;
    copy(found.index);
    const end = found.index + found[0].length;
    if (character !== '') {
      out += character;
      starts[length] = before === null ? found.index : before.starts[found.index]!;
      ends[length] = before === null ? end : before.ends[end - 1]!;
      length++;
    }
    done = end;
    changed = true;
  }
  if (!changed) return null;
  copy(text.length);
  return { text: out, starts, ends };
}

/** Returns the decoded character, '' where decoding leaves none, or null for what is not encoded. */
function characterOf(found: RegExpExecArray): string | null {
  const hex = found[1] ?? found[2] ?? found[3] ?? found[5];
  const code =
    hex !== undefined ? Number.parseInt(hex, 16) : found[6] !== undefined ? Number(found[6]) : null;
  if (code !== null) return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : null;
  return found[4] ?? '';
}
