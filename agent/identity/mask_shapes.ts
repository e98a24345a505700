/** Masks secrets that are known by their shape alone, in a text as it is and in every decoded form of it. */
import { decodedForms, type Span } from './decoded_text.ts';
import { cutSecretSpan, secretSpans } from './secret_shapes.ts';

export const MASK = '****';

/** The shortest text that may hold a part of a secret that anybody could recognise. */
const MIN_LENGTH = 12;
/** Each round masks one secret of each run of base64, so a text is clean long before this many. */
const MAX_ROUNDS = 64;
/** A run at a cut with as many bits is likelier a part of a secret than of a name. */
const CUT_BITS = 6;

/** Masks every secret in a text, whatever text it is. Masking a masked text changes nothing. */
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
 * Masks what a cut may have left of a secret at a text's end: a part of random text, a URL's `user:password`.
 * `minBits`: how unlike a name the end must be, see `randomBits`.
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
