/**
 * Finds secrets by their shape alone. Session tokens, tokens of the metadata service and tokens of imdswatch
 * are recognised by their first letters; secret access keys and other random text by being unlike a name.
 *
 * The id of an access key is no secret by itself, but it tells the owner of the key. Its first four and last
 * four characters stay, which is enough to find it in an account.
 */
import type { Span } from './decoded_text.ts';
import { randomBits } from './randomness.ts';

/** An AWS secret access key has 40 characters of base64. */
const KEY_LENGTH = 40;

/**
 * Tokens of the metadata service begin with `AQAE`. Session tokens of AWS STS of all ages begin with "origin"
 * or "aws" in base64. The longer beginnings are so rare that a token cut soon after them is recognised too.
 * Any character may stand before a token.
 */
const TOKENS =
  /(?:AQAE[\w+/=-]{8,}|(?:IQoJ|AgoJ|FwoG|FQoG|FQoD|AQoD)[\w+/=-]{20,}|(?:(?:IQoJ|AgoJ)b3|(?:FwoG|FQoG)ZX|(?:FQoD|AQoD)YX)[\w+/=-]{4,}|imdsw_[\w-]{6,})/g;
const TOKEN_LETTERS = /AQAE|IQoJ|AgoJ|FwoG|FQoG|FQoD|AQoD|imdsw_/;

/** Matches the id of an access key. Group 1, its middle, is masked. */
const KEY_IDS = /A(?:KIA|SIA)([A-Z0-9]{8,})[A-Z0-9]{4}/g;
const KEY_ID_LETTERS = /AKIA|ASIA/;

/** These are the alphabets of base64 and of its form for URLs, with the bits that make a run a secret. */
const RUNS = [
  { alphabet: /[A-Za-z0-9+/]{40,}/g, bounded: 15, anywhere: 30 },
  // Names of many words that are joined by `_` reach higher sums than paths do.
  { alphabet: /[A-Za-z0-9_-]{40,}/g, bounded: 34, anywhere: 40 },
] as const;
const LONG_RUN = /[A-Za-z0-9+/_-]{40}/;
/** A whole word of the length of a key, outside of any path, needs no more than this. */
const WHOLE_WORD_BITS = 0;
/** Fewer than 1 of 100,000 random keys has fewer letters of either case. */
const MIN_OF_EACH_CASE = 4;
/** A word with fewer bits per character looks like a name. */
const NAME_BITS = -0.3;
/** At most this many characters of a key may be in words that look like names. */
const MAX_NAMED_CHARACTERS = 10;
/** Matches hashes in hexadecimal or base 32, which have one case only. */
const ONE_CASE = /(?<![A-Za-z0-9])(?:[a-z0-9]{16,}|[A-Z0-9]{16,})(?![A-Za-z0-9])/;
/** Matches the hash of a Haskell package, as in `warp-3.3.21-511UoYUYv4fEdIroEJSvsN/Network/Wai`. */
const PACKAGE_HASH = /^[A-Za-z0-9]{17,23}\//;
/** Random text ends where the sum of bits has fallen by this much. */
const MAX_FALL_BITS = 8;
const JOINT = /[/_-]/;
const WORD = /[A-Za-z0-9]+/g;
const WORD_CHARACTER = /[A-Za-z0-9+]/;
/** Matches the rest of a secret that was broken into lines. */
const CONTINUED = /\s{1,3}([\w+/=-]{6,})/y;
const MIN_CONTINUED_BITS = 8;

/** Returns the spans of all secrets. They are in no order and may overlap. */
export function secretSpans(text: string): Span[] {
  const spans: Span[] = [];
  if (TOKEN_LETTERS.test(text)) {
    let covered = 0;
    for (const found of text.matchAll(TOKENS)) {
      // A span may include the beginnings of later matches. Each character is examined once.
      if (found.index < covered) continue;
      const span = withContinuation(text, { from: found.index, to: found.index + found[0].length });
      spans.push(span);
      covered = span.to;
    }
  }
  if (KEY_ID_LETTERS.test(text)) {
    for (const found of text.matchAll(KEY_IDS))
      spans.push({ from: found.index + 4, to: found.index + 4 + found[1]!.length });
  }
  if (text.length >= KEY_LENGTH && hasBothCases(text) && LONG_RUN.test(text)) {
    for (const { alphabet, bounded, anywhere } of RUNS) {
      let covered = 0;
      for (const found of text.matchAll(alphabet)) {
        if (found.index < covered) continue;
        const span = randomSpan(text, found.index, found[0], bounded, anywhere);
        if (span === null) continue;
        spans.push(withContinuation(text, span));
        covered = spans.at(-1)!.to;
      }
    }
  }
  return spans;
}

/** Returns the most random part of a run, or null where none is random enough for a key. */
function randomSpan(
  text: string,
  start: number,
  run: string,
  boundedBits: number,
  anywhereBits: number,
): Span | null {
  if (!hasBothCases(run) || isPackageHash(text, start, run)) return null;
  const bits = randomBits(run);
  const named = namedCharacters(run, bits);
  let best: { at: number; bits: number; isBounded: boolean } | null = null;
  for (let at = 0; at + KEY_LENGTH <= run.length; at++) {
    const end = at + KEY_LENGTH;
    const sum = bits[end]! - bits[at]!;
    const isBounded = isJoint(run, at - 1) && isJoint(run, end);
    const isWhole = run.length === KEY_LENGTH && isAlone(text, start, end);
    if (sum < (isWhole ? WHOLE_WORD_BITS : isBounded ? boundedBits : anywhereBits)) continue;
    if (!isWhole && named[end]! - named[at]! > MAX_NAMED_CHARACTERS) continue;
    if (
      best !== null &&
      (best.isBounded && !isBounded ? true : best.isBounded === isBounded && best.bits >= sum)
    )
      continue;
    const window = run.slice(at, end);
    if (!hasBothCases(window) || ONE_CASE.test(window)) continue;
    best = { at, bits: sum, isBounded };
  }
  if (best === null) return null;
  return extended(text, start, run, bits, best.at);
}

function hasBothCases(text: string): boolean {
  let lower = 0;
  let upper = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code >= 0x61) lower++;
    else if (code >= 0x41 && code <= 0x5a) upper++;
    if (lower >= MIN_OF_EACH_CASE && upper >= MIN_OF_EACH_CASE) return true;
  }
  return false;
}

function isPackageHash(text: string, start: number, run: string): boolean {
  return /\d-$/.test(text.slice(Math.max(0, start - 2), start)) && PACKAGE_HASH.test(run);
}

/** Returns running sums of the characters that are in words like names. */
function namedCharacters(run: string, bits: Float64Array): Uint32Array {
  const sums = new Uint32Array(run.length + 1);
  for (const { 0: word, index } of run.matchAll(WORD)) {
    const isName = word.length >= 4 && bits[index + word.length]! - bits[index]! < NAME_BITS * word.length;
    if (isName) for (let at = index; at < index + word.length; at++) sums[at + 1] = 1;
  }
  for (let at = 0; at < run.length; at++) sums[at + 1]! += sums[at]!;
  return sums;
}

function isJoint(run: string, at: number): boolean {
  return at < 0 || at >= run.length || JOINT.test(run[at]!);
}

/** Returns true when no character around a run could make it a part of a path or of a file's name. */
function isAlone(text: string, start: number, end: number): boolean {
  return !/[\w./~@-]/.test(text[start - 1] ?? ' ') && !/[\w./~@-]/.test(text[start + end] ?? ' ');
}

/** Extends a key to the whole of the random text around it, and to the ends of its words. */
function extended(text: string, start: number, run: string, bits: Float64Array, at: number): Span {
  let to = at + KEY_LENGTH;
  for (let end = to, top = bits[to]!; end <= run.length && bits[end]! > top - MAX_FALL_BITS; end++) {
    if (bits[end]! >= top) {
      top = bits[end]!;
      to = end;
    }
  }
  let from = at;
  for (let begin = at, low = bits[at]!; begin >= 0 && bits[begin]! < low + MAX_FALL_BITS; begin--) {
    if (bits[begin]! <= low) {
      low = bits[begin]!;
      from = begin;
    }
  }
  from += start;
  to += start;
  while (from > 0 && WORD_CHARACTER.test(text[from - 1]!)) from--;
  while (to < text.length && WORD_CHARACTER.test(text[to]!)) to++;
  while (text[to] === '=') to++;
  return { from, to };
}

function withContinuation(text: string, { from, to }: Span): Span {
  let end = to;
  for (;;) {
    CONTINUED.lastIndex = end;
    const more = CONTINUED.exec(text)?.[1];
    if (more === undefined || randomBits(more)[more.length]! < MIN_CONTINUED_BITS) return { from, to: end };
    if (!/[a-z]/.test(more) || !/[A-Z]/.test(more)) return { from, to: end };
    end = CONTINUED.lastIndex;
  }
}

/** Returns the span of the remains of a secret at the end of a text that was cut, or null. */
export function cutSecretSpan(text: string, minBits: number): Span | null {
  const found = /[A-Za-z0-9+/=_-]{8,}$/.exec(text);
  if (found === null) return null;
  const run = found[0];
  const bits = randomBits(run);
  let from = run.length;
  for (let at = run.length; at >= 0; at--) if (bits[at]! < bits[from]!) from = at;
  if (bits[run.length]! - bits[from]! < minBits) return null;
  const part = run.slice(from);
  if (!/[a-z]/.test(part) || !/[A-Z]/.test(part)) return null;
  const span = { from: found.index + from, to: text.length };
  while (span.from > 0 && WORD_CHARACTER.test(text[span.from - 1]!)) span.from--;
  return span;
}
