/**
 * Finds secrets by their shape alone: session tokens, tokens of the metadata service and of imdswatch by the letters
 * that they begin with, secret access keys and other random text by how unlike a name they are.
 *
 * The id of an access key is no secret by itself, but tells the key's owner and belongs to a secret. Its first four
 * and last four characters stay, which is enough to find it in an account.
 */
import type { Span } from './decoded_text.ts';
import { randomBits } from './randomness.ts';

/** An AWS secret access key has 40 characters of base64. */
const KEY_LENGTH = 40;

/**
 * `AQAE`: tokens of the metadata service. The others: session tokens of AWS STS of all ages, "origin" and "aws" in
 * base64. The longer letters are so rare that a token cut short behind them is known too. Nothing need stand before.
 */
const TOKENS =
  /(?:AQAE[\w+/=-]{8,}|(?:IQoJ|AgoJ|FwoG|FQoG|FQoD|AQoD)[\w+/=-]{20,}|(?:(?:IQoJ|AgoJ)b3|(?:FwoG|FQoG)ZX|(?:FQoD|AQoD)YX)[\w+/=-]{4,}|imdsw_[\w-]{6,})/g;
const TOKEN_LETTERS = /AQAE|IQoJ|AgoJ|FwoG|FQoG|FQoD|AQoD|imdsw_/;

/** Four letters, a middle that is masked, and the last four characters. */
const KEY_IDS = /A(?:KIA|SIA)([A-Z0-9]{8,})[A-Z0-9]{4}/g;
const KEY_ID_LETTERS = /AKIA|ASIA/;

/** Alphabets of base64 and of its form for URLs and file names. */
const RUNS = [
  { alphabet: /[A-Za-z0-9+/]{40,}/g, bounded: 15, anywhere: 30 },
  // Names of many words, joined by `_`, reach higher sums than paths do.
  { alphabet: /[A-Za-z0-9_-]{40,}/g, bounded: 34, anywhere: 40 },
] as const;
const LONG_RUN = /[A-Za-z0-9+/_-]{40}/;
/** A whole word of exactly this length, in nothing that may be a path, needs to be no more than unlike a name. */
const WHOLE_WORD_BITS = 0;
/** In random text of this length more of each case are certain: fewer than 1 of 100,000 keys has less. */
const MIN_OF_EACH_CASE = 4;
/** A word with fewer bits for each of its characters looks like a name. */
const NAME_BITS = -0.3;
/** How many characters of a key may lie in words that look like names. */
const MAX_NAMED_CHARACTERS = 10;
/** Hashes in hexadecimal or base 32 have one case only. */
const ONE_CASE = /(?<![A-Za-z0-9])(?:[a-z0-9]{16,}|[A-Z0-9]{16,})(?![A-Za-z0-9])/;
/** `warp-3.3.21-511UoYUYv4fEdIroEJSvsN/Network/Wai`: the directory of a Haskell package, named by version and hash. */
const PACKAGE_HASH = /^[A-Za-z0-9]{17,23}\//;
/** By how much the bits may fall before the random text is taken to have ended. */
const MAX_FALL_BITS = 8;
const JOINT = /[/_-]/;
const WORD = /[A-Za-z0-9]+/g;
const WORD_CHARACTER = /[A-Za-z0-9+]/;
/** The rest of a secret that was broken into lines, or folded. */
const CONTINUED = /\s{1,3}([\w+/=-]{6,})/y;
const MIN_CONTINUED_BITS = 8;

/** Returns spans of what must not be seen, in no order; they may overlap. */
export function secretSpans(text: string): Span[] {
  const spans: Span[] = [];
  if (TOKEN_LETTERS.test(text)) {
    let covered = 0;
    for (const found of text.matchAll(TOKENS)) {
      // What continues another token was looked at with that one: each character is looked at once.
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

/** The most random stretch of a run, if it is random enough for a key. */
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

/** Sums of the characters that lie in words like names. */
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

/** Whether nothing stands around a run that could make it a part of a path or of a file's name. */
function isAlone(text: string, start: number, end: number): boolean {
  return !/[\w./~@-]/.test(text[start - 1] ?? ' ') && !/[\w./~@-]/.test(text[start + end] ?? ' ');
}

/** Random text may be longer than a key: extends to where it ends, and to the ends of the words there. */
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

/** What may be left of a secret at the end of a text that was cut there; null where nothing looks like it. */
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
