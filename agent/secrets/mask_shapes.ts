/** Masks secrets that are recognised by their shape alone, in a text and in every decoded form of it. */
import { decodedForms, type Span } from './decoded_text.ts';
import { cutSecretSpan, secretSpans } from './secret_shapes.ts';

export const MASK = '****';

/** A shorter text contains no part of a secret that could be recognised. */
const MIN_LENGTH = 12;
/** Each round masks one secret in each run of base64, so far fewer rounds are enough. */
const MAX_ROUNDS = 64;
/** A run before a cut with this many bits is more likely a part of a secret than of a name. */
const CUT_BITS = 6;

/** Masks every secret in any text. Masking the result again changes nothing. */
export function maskShapes(text: string): string {
  let masked = text;
  for (let round = 0; round < MAX_ROUNDS && masked.length >= MIN_LENGTH; round++) {
    const spans = spansOf(masked, secretSpans);
    if (spans.length === 0) return masked;
    masked = withoutSpans(masked, spans);
  }
  return masked;
}

/**
 * Masks the remains of a secret at the end of a text that was cut: a part of random text, or a URL's
 * `user:password`.
 *
 * @param minBits the end is masked when `randomBits` gives it at least this sum.
 */
export function maskCutEnd(text: string, minBits = CUT_BITS): string {
  const masked = text.replace(/(:\/\/)[^\s/:]*:[^\s/]*$/, `$1${MASK}`);
  const spans = spansOf(masked, (form) => {
    const span = cutSecretSpan(form, minBits);
    return span === null ? [] : [span];
  });
  return spans.length === 0 ? masked : withoutSpans(masked, spans);
}

function spansOf(text: string, find: (form: string) => Span[]): Span[] {
  const spans = find(text);
  for (const form of decodedForms(text)) {
    for (const { from, to } of find(form.text))
      spans.push({ from: form.starts[from]!, to: form.ends[to - 1]! });
  }
  return spans;
}

function withoutSpans(text: string, spans: Span[]): string {
  spans.sort((a, b) => a.from - b.from);
  let out = '';
  let done = 0;
  for (const { from, to } of spans) {
    if (to <= done) continue;
    if (from > done || done === 0) out += text.slice(done, from) + MASK;
    done = to;
  }
  return out + text.slice(done);
}
