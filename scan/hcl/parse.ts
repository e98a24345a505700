/**
 * Parses HCL's native syntax with tree-sitter's grammar in WebAssembly. It keeps positions and goes on behind
 * an error, which HashiCorp's own parser compiled to WebAssembly does not.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Parser as TreeSitterParser } from 'web-tree-sitter';
import { convertBody } from './convert.ts';
import type { SyntaxNode } from './syntax_node.ts';
import type { Block, HclFile, Span } from './tree.ts';

let parser: TreeSitterParser | null = null;

/** Loads the grammar. Call it once before `parseHcl`. */
export async function loadHclGrammar(): Promise<void> {
  if (parser !== null) return;
  const { Language, Parser } = await import('web-tree-sitter');
  await Parser.init();
  const manifest = createRequire(import.meta.url).resolve(
    '@tree-sitter-grammars/tree-sitter-hcl/package.json',
  );
  const language = await Language.load(join(dirname(manifest), 'tree-sitter-hcl.wasm'));
  parser = new Parser().setLanguage(language);
}

/** Returns what could be parsed, and where it could not. Never throws for any text. */
export function parseHcl(path: string, text: string): HclFile {
  const body = emptyBody(text);
  const errors: Span[] = [];
  parsePart(text, 0, text.length, body, errors);
  const starts = errors.length === 0 ? [] : [...text.matchAll(TOP_LEVEL)].map(({ index }) => index);
  if (starts.length === 0 || (starts.length === 1 && starts[0] === 0)) return { path, body, errors };
  // An error can swallow the blocks behind it. Parsed one by one, only the broken block is lost.
  const parts = emptyBody(text);
  const inParts: Span[] = [];
  for (const [at, start] of [0, ...starts].entries()) {
    const end = starts[at] ?? text.length;
    if (start < end) parsePart(text, start, end, parts, inParts);
  }
  return { path, body: parts, errors: inParts.length === 0 ? errors : inParts };
}

/** Text that is no HCL can keep the grammar's recovery busy. A megabyte of real code takes 0.4 s. */
const MAX_PARSE_MS = 10_000;

/** A top-level block in the usual layout: its type stands at the start of a line. */
const TOP_LEVEL =
  /^(?:resource|data|module|variable|output|provider|locals|terraform|source|build|packer|local)\b[^\n={]*\{/gm;

/** Parses a part of the text, and adds what is in it with positions in the whole text. */
function parsePart(text: string, start: number, end: number, into: Block, errors: Span[]): void {
  if (parser === null) throw new Error('loadHclGrammar was not called');
  // The grammar does not know a byte order mark; a space keeps every position.
  const deadline = performance.now() + MAX_PARSE_MS;
  const tree = parser.parse(text.slice(start, end).replace(/^\ufeff/, ' '), null, {
    progressCallback: () => performance.now() > deadline,
  });
  if (tree === null) {
    parser.reset();
    errors.push({ start, end });
    return;
  }
  try {
    const root = plain(tree, start, errors);
    const body = root.children.find(({ type }) => type === 'body');
    if (body !== undefined) convertBody(body, text, into);
    // A part with errors at its top keeps its whole blocks beside the body.
    convertBody(root, text, into);
  } finally {
    tree.delete();
  }
}

function emptyBody(text: string): Block {
  return {
    type: '',
    labels: [],
    start: 0,
    end: text.length,
    bodyStart: 0,
    bodyEnd: text.length,
    attributes: [],
    blocks: [],
    syntax: 'native',
  };
}

const MAX_NESTING = 400;

/** Copies the tree out of the WebAssembly memory, since reading it node by node is slow. */
function plain(
  tree: NonNullable<ReturnType<TreeSitterParser['parse']>>,
  base: number,
  errors: Span[],
): SyntaxNode {
  const cursor = tree.walk();
  const read = (depth: number): SyntaxNode => {
    const type = cursor.nodeType;
    const start = base + cursor.startIndex;
    const node: SyntaxNode = { type, start, end: base + cursor.endIndex, children: [] };
    if (type === 'ERROR' || cursor.nodeIsMissing) errors.push({ start: node.start, end: node.end });
    if (depth < MAX_NESTING && cursor.gotoFirstChild()) {
      do {
        if (cursor.nodeType !== 'comment') node.children.push(read(depth + 1));
      } while (cursor.gotoNextSibling());
      cursor.gotoParent();
    } else if (depth >= MAX_NESTING) {
      errors.push({ start: node.start, end: node.end });
    }
    return node;
  };
  try {
    return read(0);
  } finally {
    cursor.delete();
  }
}
