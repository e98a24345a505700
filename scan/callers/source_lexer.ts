/**
 * Separates the comments and strings of a source file from its code. It is driven by a table of syntaxes and takes
 * one pass: grammars of eleven languages would weigh megabytes, and highlighters backtrack on hostile files. A
 * string that must end on its line does so, which brings it back into step after code that it misreads.
 */

interface StringSyntax {
  open: string;
  close: string;
  /** Character that makes the next one ordinary; null where there is none. */
  escape: string | null;
  multiline: boolean;
}

export interface Syntax {
  lineComments: readonly string[];
  blockComments: readonly (readonly [open: string, close: string])[];
  strings: readonly StringSyntax[];
  /** A `#` begins a comment only behind a blank. */
  hashNeedsBlank?: boolean;
  /** A string that is a whole statement is documentation. */
  hasDocStrings?: boolean;
}

function string(open: string, close = open, more: Partial<StringSyntax> = {}): StringSyntax {
  return { open, close, escape: '\\', multiline: false, ...more };
}

const MULTILINE = { multiline: true };
const RAW = { multiline: true, escape: null };

const C_LIKE = { lineComments: ['//'], blockComments: [['/*', '*/']] } as const;

export const SYNTAXES = {
  python: {
    lineComments: ['#'],
    blockComments: [],
    strings: [string('"""', '"""', MULTILINE), string("'''", "'''", MULTILINE), string('"'), string("'")],
    hasDocStrings: true,
  },
  javascript: { ...C_LIKE, strings: [string('"'), string("'"), string('`', '`', MULTILINE)] },
  go: { ...C_LIKE, strings: [string('"'), string('`', '`', RAW), string("'")] },
  ruby: {
    lineComments: ['#'],
    blockComments: [['\n=begin', '\n=end']],
    strings: [string('"', '"', MULTILINE), string("'", "'", MULTILINE), string('`', '`', MULTILINE)],
    hashNeedsBlank: true,
  },
  php: {
    lineComments: ['//', '#'],
    blockComments: [['/*', '*/']],
    strings: [string('"', '"', MULTILINE), string("'", "'", MULTILINE), string('`', '`', MULTILINE)],
    hashNeedsBlank: true,
  },
  java: { ...C_LIKE, strings: [string('"""', '"""', MULTILINE), string('"'), string("'")] },
  csharp: {
    ...C_LIKE,
    strings: [
      string('"""', '"""', RAW),
      string('@"', '"', RAW),
      string('$@"', '"', RAW),
      string('"'),
      string("'"),
    ],
  },
  perl: {
    lineComments: ['#'],
    blockComments: [
      ['\n=pod', '\n=cut'],
      ['\n=head', '\n=cut'],
    ],
    strings: [string('"', '"', MULTILINE), string("'", "'", MULTILINE), string('`', '`', MULTILINE)],
    hashNeedsBlank: true,
  },
  powershell: {
    lineComments: ['#'],
    blockComments: [['<#', '#>']],
    strings: [string('"', '"', { multiline: true, escape: '`' }), string("'", "'", RAW)],
    hashNeedsBlank: true,
  },
  // A quote also begins a lifetime in Rust, so it begins no string there.
  rust: { ...C_LIKE, strings: [string('"', '"', MULTILINE)] },
  hcl: { ...C_LIKE, lineComments: ['#', '//'], strings: [string('"')] },
  c: { ...C_LIKE, strings: [string('"'), string("'")] },
} as const satisfies Record<string, Syntax>;

export type SourceLanguage = keyof typeof SYNTAXES;

export interface StringLiteral {
  /** Index of its content, without the quotes. */
  start: number;
  end: number;
}

export interface LexedSource {
  /** The text with blanks for comments and documentation. Same length, same lines. */
  code: string;
  /** The same with blanks for the content of strings too. */
  structure: string;
  strings: StringLiteral[];
}

export function lexSource(text: string, language: SourceLanguage): LexedSource {
  return lexWith(text, SYNTAXES[language]);
}

function lexWith(text: string, syntax: Syntax): LexedSource {
  const hidden: [number, number][] = [];
  const strings: StringLiteral[] = [];
  const starts = new Set([
    ...syntax.lineComments.map((one) => one[0]!),
    ...syntax.blockComments.map(([open]) => open[0]!),
    ...syntax.strings.map(({ open }) => open[0]!),
  ]);
  /** Comments and strings over lines that are never closed cost one look each. */
  const unclosed = new Set<string>();
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (!starts.has(char)) {
      at += 1;
      continue;
    }
    const line = syntax.lineComments.find((one) => text.startsWith(one, at));
    if (line !== undefined && beginsComment(text, at, line, syntax)) {
      const end = lineEnd(text, at);
      hidden.push([at, end]);
      at = end;
      continue;
    }
    const block = syntax.blockComments.find(([open]) => !unclosed.has(open) && text.startsWith(open, at));
    if (block !== undefined) {
      const close = text.indexOf(block[1], at + block[0].length);
      if (close === -1) unclosed.add(block[0]);
      else {
        hidden.push([at, close + block[1].length]);
        at = close + block[1].length;
        continue;
      }
    }
    const kind = syntax.strings.find(({ open }) => !unclosed.has(open) && text.startsWith(open, at));
    if (kind === undefined) {
      at += 1;
      continue;
    }
    const start = at + kind.open.length;
    const end = stringEnd(text, start, kind);
    if (end === null) {
      unclosed.add(kind.open);
      at = start;
      continue;
    }
    const isDocumentation =
      syntax.hasDocStrings === true &&
      kind.open.length === 3 &&
      isWholeStatement(text, at, end + kind.close.length);
    if (isDocumentation) hidden.push([at, end + kind.close.length]);
    else strings.push({ start, end });
    at = text.startsWith(kind.close, end) ? end + kind.close.length : end;
  }
  const code = blank(text, hidden);
  return {
    code,
    structure: blank(
      code,
      strings.map(({ start, end }) => [start, end]),
    ),
    strings,
  };
}

function beginsComment(text: string, at: number, marker: string, { hashNeedsBlank }: Syntax): boolean {
  const before = text[at - 1] ?? '\n';
  // A regular expression such as /https?:\/\// holds the marker behind a backslash.
  if (marker === '//') return before !== '\\' && before !== ':';
  return hashNeedsBlank !== true || (/\s|[;{(]/.test(before) && text[at + 1] !== '{' && text[at + 1] !== '[');
}

/** Returns the index of the closing quote or of the end of the line; null if a string over lines has no end. */
function stringEnd(
  text: string,
  start: number,
  { close, escape: escapeCharacter, multiline }: StringSyntax,
): number | null {
  for (let at = start; at < text.length; at++) {
    const char = text[at]!;
    if (char === escapeCharacter) at += 1;
    else if (text.startsWith(close, at)) return at;
    else if (char === '\n' && !multiline) return at;
  }
  return multiline ? null : text.length;
}

const MAX_INDENT = 200;

/** Says whether nothing but blanks, a prefix and an opening of a block stands around it. */
function isWholeStatement(text: string, start: number, end: number): boolean {
  // Only blanks stand before and behind it, so a short look is enough.
  const left = text.slice(Math.max(0, start - MAX_INDENT), start);
  const lineStart = start - left.length + left.lastIndexOf('\n') + 1;
  if (!/^\s*[rRuUbB]?$/.test(text.slice(lineStart, start))) return false;
  if (!/^[ \t]*(?:#|\r?\n|$)/.test(text.slice(end, end + MAX_INDENT))) return false;
  const before = text.slice(Math.max(0, lineStart - MAX_INDENT), lineStart).trimEnd();
  // Behind a bracket, a comma or an operator it is a value.
  return !/[([{,=+\\%]$/.test(before);
}

function lineEnd(text: string, at: number): number {
  const newline = text.indexOf('\n', at);
  return newline === -1 ? text.length : newline;
}

function blank(text: string, ranges: readonly (readonly [number, number])[]): string {
  const parts: string[] = [];
  let at = 0;
  for (const [start, end] of ranges) {
    parts.push(text.slice(at, start), text.slice(start, end).replace(/[^\r\n]/g, ' '));
    at = end;
  }
  parts.push(text.slice(at));
  return parts.join('');
}
