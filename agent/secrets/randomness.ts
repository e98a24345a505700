/**
 * Tells random base64 text from ordinary names. Each character gets the number of bits by which it is more
 * likely in random text than in a path, given the character before it. A sum far above zero means random
 * text.
 *
 * The tables contain `-log2` of frequencies. These were counted in every twentieth path of Debian 12's
 * package contents and in every fourth path of a build machine. One digit of base 36 is half a bit.
 * `bench/watch/masking.ts` measures the result on the other paths.
 */

const LOWER = 0;
const UPPER = 1;
const DIGIT = 2;
const SLASH = 3;
const SIGN = 4;
const NONE = 5;

/** Costs of a class of characters (columns: lower, upper, digit, slash, sign) after another class (rows). */
const CLASS_AFTER_CLASS = costsOf('1eb69 23999 6b255 08azc 195c8 1c56e');
/** Costs of a letter in any case (columns: a to z) after another letter (rows: a to z, and no letter). */
const LETTER_AFTER_LETTER = costsOf(
  'db7aeg8l9jg898m8l487dcdfeg 7abc6dbg7cg6af69h89e7fgebg 6fbg7eg6ch86de4aoaa8cfmjfp 8bec4dej6iacdh4dkcah7ggjgm ' +
    'ac99dccjghj896dbg548fbe8gj 7dbd88fk5ik9965cm9ab9hgdfk 9gaf4fd88nl8d67en7acaghlh9 2idi6imkalmhfl6dnfg4dklido ' +
    'b57abe9ljnh9947bmb87jcncqe 4hec7ffickfhefabde2fbbfikn 4edc5daf8jhdc5aeke8b7gagec 7h9c4fgk3oh9hk7ani9c9ekkbl ' +
    '5bha6dfk8ji4aj66lhcedjkjgo ai887b7f9jaege7enh566akjhi ed67kdbmfhd9957am6b89faekm 6hbe7efa7qe7d899l99abkjl4r ' +
    'bfbdbe7gekj58feefbc53feekh 7f8c3eck8ocdbc7dod8a7ekmbo bhac9hg58odedgacg495bbhhbo 7hbe5dg77ndb5j7dk88cakffak ' +
    'c9d8dgdlbph8b7j9q929mll8ql 5edf3c7g6pleaebffdb9gkgchl 7hef7gjd7kifc56emb74ghefjk 6cae8bgdaif85ge8hcc4feib8k ' +
    'be6e6h9jdnlb9bd6jb64ihghoi 5gee4gi88hhcde5dhebe7hfgab 9b87bb99ace89bc7g9687bcbii',
);
/** Random base64 has six bits a character. */
const RANDOM_BITS = 6;
const DIGIT_BITS = Math.log2(10);
const SIGN_BITS = 2;
/** The bits of one character are bounded, so that no single character decides. */
const MAX_BITS = 4;
const NO_LETTER = 26;

function costsOf(rows: string): Float64Array[] {
  return rows.split(' ').map((row) => Float64Array.from(row, (digit) => Number.parseInt(digit, 36) / 2));
}

/** Returns running sums: the bits of `text[from..to]` are `sums[to] - sums[from]`. */
export function randomBits(text: string): Float64Array {
  const sums = new Float64Array(text.length + 1);
  let before = NONE;
  let letterBefore = NO_LETTER;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const kind = classOf(code);
    let bits = CLASS_AFTER_CLASS[before]![kind]!;
    if (kind <= UPPER) {
      const letter = (code | 0x20) - 0x61;
      bits += LETTER_AFTER_LETTER[letterBefore]![letter]!;
      letterBefore = letter;
    } else {
      letterBefore = NO_LETTER;
      if (kind === DIGIT) bits += DIGIT_BITS;
      else if (kind === SIGN) bits += SIGN_BITS;
    }
    before = kind;
    sums[at + 1] = sums[at]! + Math.max(-MAX_BITS, Math.min(MAX_BITS, bits - RANDOM_BITS));
  }
  return sums;
}

function classOf(code: number): number {
  if (code >= 0x61 && code <= 0x7a) return LOWER;
  if (code >= 0x41 && code <= 0x5a) return UPPER;
  if (code >= 0x30 && code <= 0x39) return DIGIT;
  return code === 0x2f ? SLASH : SIGN;
}
