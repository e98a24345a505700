/**
 * Parses HCL's native syntax with tree-sitter's grammar in WebAssembly. It keeps positions and goes on behind
 * an error, which HashiCorp's own parser compiled to WebAssembly does not.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Parser as TreeSitterParser } from 'web-tree-sitter';
import { convertBody } from './convert.ts';
import type { SyntaxNode } from './syntax_node.ts';
import type { HclFile } from './tree.ts';

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
  if (parser === null) throw new Error('loadHclGrammar was not called');
  // The grammar does not know a byte order mark; a space keeps every position.
  const tree = parser.parse(text.startsWith('\ufeff') ? ` ${text.slice(1)}` : text);
  if (tree === null) return { path, body: emptyBody(text), errors: [{ start: 0, end: text.length }] };
  try {
    const errors: { start: number; end: number }[] = [];
    const root = plain(tree, errors);
    const body = root.children.find(({ type }) => type === 'body');
    const block = emptyBody(text);
    if (body !== undefined) convertBody(body, text, block);
    // A file with errors at its top keeps its whole blocks beside the body.
    convertBody(root, text, block);
    return { path, body: block, errors };
  } finally {
    tree.delete();
  }
}

function emptyBody(text: string): HclFile['body'] {
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
  errors: { start: number; end: number }[],
): SyntaxNode {
  const cursor = tree.walk();
  const read = (depth: number): SyntaxNode => {
    const type = cursor.nodeType;
    const node: SyntaxNode = { type, start: cursor.startIndex, end: cursor.endIndex, children: [] };
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
