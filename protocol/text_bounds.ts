/**
 * Bounds on the texts of the contract, without schemas: the watch process is small because it loads none. A free text is cut to its bound, and the cut shows as `…`; a label is
 * a text of one line without invisible characters; an identifier is refused where it is not made of plain
 * characters.
 */
/** Ends a text that was cut, and stands for what was left out. */
export const CUT_MARK = '…';
/** Stands for a character that no text may hold (U+FFFD). */
const REPLACEMENT = '\ufffd';

/** `PATH_MAX` of Linux: no path is longer. */
export const MAX_PATH_CHARACTERS = 4096;
export const MAX_ARGUMENT_CHARACTERS = 4096;
/** All arguments of one process together, with the mark of a cut. The agent cuts at 4,096 characters. */
export const MAX_ARGUMENTS_CHARACTERS = 8192;
export const MAX_ARGUMENTS = 512;
export const MAX_ANCESTORS = 64;
/** Arguments of all ancestors of one process together. */
export const MAX_ANCESTORS_CHARACTERS = 32_768;
export const MAX_USER_AGENT_CHARACTERS = 1024;
export const MAX_LABEL_CHARACTERS = 512;
export const MAX_IDENTIFIER_CHARACTERS = 200;
export const MAX_TAGS = 128;
/** Counters of one stage, or losses of one report. An agent has some thirty reasons to lose something. */
export const MAX_COUNTERS = 256;
export const MAX_STAGES = 64;
export const MAX_ROLLUP_LINES = 256;

/**
 * C0 and C1 control characters, the line separators, characters that turn the direction of text (Unicode
 * standard annex 9), the byte order mark, and characters without a width.
 */
const INVISIBLE =
  '\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029\\u061c\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2069\\ufeff';
const HAS_INVISIBLE = new RegExp(`[${INVISIBLE}]`);
const EACH_INVISIBLE = new RegExp(`[${INVISIBLE}]`, 'g');

/** Returns the number of texts that this process has cut or cleaned since it started. */
let changedTexts = 0;
export function textsChanged(): number {
  return changedTexts;
}

/** Returns the text in well-formed Unicode and in at most `max` UTF-16 units; a cut text ends with `…`. */
export function cutText(text: string, max: number): string {
  if (text.length <= max && text.isWellFormed()) return text;
  changedTexts += 1;
  if (text.length <= max) return text.toWellFormed();
  // Half of a surrogate pair at the end becomes U+FFFD, and says nothing that the mark does not say.
  const kept = text.slice(0, max - CUT_MARK.length).toWellFormed();
  return `${kept.endsWith(REPLACEMENT) ? kept.slice(0, -1) : kept}${CUT_MARK}`;
}

/** Returns the text as `cutText` does, with U+FFFD in place of every invisible character. */
export function cleanLabel(text: string, max: number): string {
  const cut = cutText(text, max);
  if (!HAS_INVISIBLE.test(cut)) return cut;
  changedTexts += 1;
  return cut.replace(EACH_INVISIBLE, REPLACEMENT);
}

/**
 * Tells whether a text can be an identifier: well-formed, without invisible characters, and not only of
 * spaces.
 */
export function isIdentifier(text: string): boolean {
  return text.isWellFormed() && !HAS_INVISIBLE.test(text) && text.trim() !== '';
}

/** Returns the first arguments, as far as they stay within the bounds; `…` stands for the rest. */
export function cutArguments(args: string[]): string[] {
  let room = MAX_ARGUMENTS_CHARACTERS;
  for (let at = 0; at < args.length; at += 1) {
    room -= args[at]!.length;
    if (at < MAX_ARGUMENTS - 1 && room >= CUT_MARK.length) continue;
    if (at === args.length - 1 && room >= 0) return args;
    changedTexts += 1;
    return [...args.slice(0, at), CUT_MARK];
  }
  return args;
}

/** A list that keeps its first `max` items. */
export function firstOf<T>(items: T[], max: number): T[] {
  if (items.length <= max) return items;
  changedTexts += 1;
  return items.slice(0, max);
}

const MAX_NAME_CHARACTERS = 100;
const OTHER = 'other';

/**
 * Returns amounts by name with at most `max` plain names. The amounts of all other names are added up under
 * `other`: a loss must not disappear because of its name.
 */
export function plainNames(amounts: Record<string, number>, max: number): Record<string, number> {
  const entries = Object.entries(amounts);
  const isPlain = (name: string) => name.length <= MAX_NAME_CHARACTERS && isIdentifier(name);
  if (entries.length <= max && entries.every(([name]) => isPlain(name))) return amounts;
  changedTexts += 1;
  const sums = new Map<string, number>();
  for (const [given, amount] of entries) {
    const name = isPlain(given) && (sums.size < max - 1 || sums.has(given)) ? given : OTHER;
    sums.set(name, Math.min((sums.get(name) ?? 0) + amount, Number.MAX_SAFE_INTEGER));
  }
  return Object.fromEntries(sums);
}

/** Returns the nearest ancestors, and their arguments as far as all of them together stay within a bound. */
export function boundAncestors<T extends { command_args: string[] | null }>(chain: T[]): T[] {
  let room = MAX_ANCESTORS_CHARACTERS;
  return firstOf(chain, MAX_ANCESTORS).map((parent) => {
    const { command_args: args } = parent;
    if (args === null) return parent;
    const length = args.reduce((sum, arg) => sum + arg.length, 0);
    room -= length;
    return room >= 0 || length <= CUT_MARK.length ? parent : { ...parent, command_args: [CUT_MARK] };
  });
}
