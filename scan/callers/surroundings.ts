/** Looks around a place in a source: the calls and the assignment that it is a part of. */
import { CONSTANTS, DATA_ARGUMENT } from './call_vocabulary.ts';
import type { LexedSource } from './source_lexer.ts';

/** Characters that are looked through for the call around an argument. */
const MAX_LOOK_BACK = 3000;

export interface EnclosingCall {
  name: string;
  nameStart: number;
  open: number;
}

export interface Surroundings {
  calls: EnclosingCall[];
  isData: boolean;
  /** Names that the value is assigned to. */
  names: string[];
  statementStart: number;
}

/** Looks outwards from an index: the calls that it is an argument of, and the names that its value gets. */
export function surroundingsOf(source: LexedSource, index: number): Surroundings {
  const { structure, code } = source;
  const calls: EnclosingCall[] = [];
  const names: string[] = [];
  let isData = false;
  let open = 0;
  const from = Math.max(0, index - MAX_LOOK_BACK);
  let at = index - 1;
  let start = index;
  if (isDataArgument(source, literalStart(source, index))) isData = true;
  for (; at >= from; at--) {
    const char = structure[at]!;
    if (char === ')' || char === ']' || char === '}') open += 1;
    else if (char === '(' || char === '[' || char === '{') {
      if (open > 0) {
        open -= 1;
        continue;
      }
      start = at;
      if (char === '(') {
        const name = calleeBefore(code, at);
        if (
          /(?:^|\s)(?:def|func|function|fn|sub|if|while|for|switch|catch|elif)$/.test(
            code.slice(Math.max(0, at - name.length - 12), at - name.length).trimEnd(),
          ) ||
          /^(?:if|while|for|switch|catch|foreach|elif)$/.test(name)
        ) {
          break;
        }
        if (name !== '') calls.push({ name, nameStart: at - name.length, open: at });
      }
      if (char === '{' && !beginsObject(code, at)) break;
      if (isDataArgument(source, at)) isData = true;
    } else if (open === 0 && (char === ';' || (char === '\n' && endsStatement(source, at, calls.length))))
      break;
  }
  const statementStart = skipBlanks(code, Math.max(at + 1, from), start);
  // Names that are assigned on the way from the statement's begin to the value.
  const left = structure.slice(Math.max(statementStart, index - 400), index);
  for (const match of left.matchAll(
    /([A-Za-z_$][\w$]*)[ \t]*(?::[ \t]*[\w<>[\]., |?&']{1,60}?)?\s*(?::=|\+?=(?![=>~])|\|\|=)/g,
  ))
    names.push(match[1]!);
  const line = code.slice(Math.max(code.lastIndexOf('\n', index) + 1, index - 200), index);
  for (const pattern of CONSTANTS) {
    const name = pattern.exec(line)?.[1];
    if (name !== undefined) names.push(name);
  }
  return { calls, isData, names, statementStart };
}

function isDataArgument(source: LexedSource, position: number): boolean {
  const before = source.code.slice(Math.max(0, position - 40), position);
  return DATA_ARGUMENT.test(before.replace(/(?<=[=:>]\s*)[fFrRbBuU@$]{1,2}$/, ''));
}

/** Index of the quote before the string that holds `index`, or `index`. */
function literalStart(source: LexedSource, index: number): number {
  const literal = stringAt(source.strings, index);
  return literal === null ? index : literal.start - 1;
}

/** A line break ends a statement unless the next line goes on with a method call or this one ends in an operator. */
function endsStatement({ structure }: LexedSource, newline: number, enclosing: number): boolean {
  if (enclosing > 0 && !/[;{}]\s*$/.test(structure.slice(Math.max(0, newline - 20), newline))) {
    // Arguments over several lines have their call already; what stands before it is needed for names only.
    const line = structure.slice(newline + 1, newline + 80);
    return (
      !/^\s*[.)\]}]/.test(line) &&
      !/[=(,[{.+\\|&?:]\s*$/.test(structure.slice(Math.max(0, newline - 40), newline))
    );
  }
  const next = structure.slice(newline + 1, newline + 80);
  if (/^\s*(?:\.|->|\?\.|\|\||&&|\+|\?|:)/.test(next)) return false;
  return !/(?:[=(,[{.+\\|&?:]|=>|->|return)\s*$/.test(
    structure.slice(Math.max(0, newline - 40), newline).trimEnd(),
  );
}

/** Returns the name chain before an opening bracket: `requests.get`, `Net::HTTP.get`. */
function calleeBefore(code: string, open: number): string {
  return (
    /[A-Za-z_$][\w$]*(?:(?:\?\.|\.|::|->|\\)[A-Za-z_$][\w$!?]*)*[ \t]?$/
      .exec(code.slice(Math.max(0, open - 120), open))?.[0]
      .trimEnd() ?? ''
  );
}

/** A brace behind one of these begins an object, a map or a struct; behind anything else it begins a block. */
function beginsObject(code: string, at: number): boolean {
  const before = code.slice(Math.max(0, at - 40), at).trimEnd();
  return /(?:[(,=:[?&|]|=>|return|\w\s*\*?)$/.test(before)
    ? !/(?:\)|=>|else|try|finally|do|begin)$/.test(before)
    : false;
}

/** Index of the bracket that closes `open`; the end of the look-ahead where there is none. */
export function closing(structure: string, open: number): number {
  let depth = 0;
  const limit = Math.min(structure.length, open + MAX_LOOK_BACK);
  for (let at = open; at < limit; at++) {
    const char = structure[at];
    if (char === '(' || char === '[' || char === '{') depth += 1;
    else if (char === ')' || char === ']' || char === '}') {
      depth -= 1;
      if (depth <= 0) return at;
    }
  }
  return limit;
}

export function stringAt(
  strings: LexedSource['strings'],
  index: number,
): LexedSource['strings'][number] | null {
  let low = 0;
  let high = strings.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const { start, end } = strings[middle]!;
    if (index < start) high = middle - 1;
    else if (index >= end) low = middle + 1;
    else return strings[middle]!;
  }
  return null;
}

function skipBlanks(text: string, from: number, to: number): number {
  let at = from;
  while (at < to && /\s/.test(text[at]!)) at += 1;
  return at;
}
