/** Parses YAML and JSON into nodes with positions. Never throws for any text. */
import { type Node as JsonNode, type ParseError, parseTree } from 'jsonc-parser';
import * as yaml from 'yaml';
import type { DocumentNode, MapEntry, NodeSpan, ParsedDocuments } from './node.ts';

/** Nodes of one file that are read. */
const MAX_NODES = 2_000_000;
/** Aliases of one file that are followed, against files that multiply by them. */
const MAX_ALIASES = 10_000;
const MAX_DEPTH = 100;

/** Parses JSON where the text begins like it, else YAML, which has JSON in it but is read more slowly. */
export function parseDocuments(path: string, text: string): ParsedDocuments {
  const isJson = path.endsWith('.json') || /^\ufeff?\s*[{[]/.test(text);
  if (isJson) {
    const parsed = parseJson(path, text);
    if (parsed.errors.length === 0 || path.endsWith('.json')) return parsed;
  }
  return parseYaml(path, text);
}

function parseJson(path: string, text: string): ParsedDocuments {
  const found: ParseError[] = [];
  let root: JsonNode | undefined;
  try {
    root = parseTree(text.startsWith('\ufeff') ? ` ${text.slice(1)}` : text, found);
  } catch {
    root = undefined; // The parser recurses; a text that is nested too deep ends here.
    found.push({ error: 1, offset: 0, length: text.length });
  }
  const budget = { nodes: MAX_NODES, aliases: MAX_ALIASES };
  return {
    path,
    syntax: 'json',
    roots: root === undefined ? [] : [fromJson(root, 0, budget)],
    errors: found.map(({ offset, length }) => ({ start: offset, end: offset + length })),
  };
}

interface Budget {
  nodes: number;
  aliases: number;
}

function fromJson(node: JsonNode, depth: number, budget: Budget): DocumentNode {
  const span = { start: node.offset, end: node.offset + node.length, tag: null };
  budget.nodes--;
  if (depth > MAX_DEPTH || budget.nodes < 0) return { kind: 'scalar', value: null, isBlock: false, ...span };
  switch (node.type) {
    case 'object':
      return {
        kind: 'map',
        isFlow: true,
        entries: (node.children ?? []).flatMap((property): MapEntry[] => {
          const [key, value] = property.children ?? [];
          if (key === undefined || value === undefined) return [];
          return [
            { key: String(key.value), keyStart: key.offset, value: fromJson(value, depth + 1, budget) },
          ];
        }),
        ...span,
      };
    case 'array':
      return {
        kind: 'list',
        items: (node.children ?? []).map((item) => fromJson(item, depth + 1, budget)),
        ...span,
      };
    default:
      return {
        kind: 'scalar',
        value: (node.value ?? null) as string | number | boolean | null,
        isBlock: false,
        ...span,
      };
  }
}

function parseYaml(path: string, text: string): ParsedDocuments {
  const roots: DocumentNode[] = [];
  const errors: NodeSpan[] = [];
  try {
    const documents = yaml.parseAllDocuments(text, { logLevel: 'silent', uniqueKeys: false, strict: false });
    const budget = { nodes: MAX_NODES, aliases: MAX_ALIASES };
    for (const document of Array.isArray(documents) ? documents : []) {
      for (const { pos } of document.errors) errors.push({ start: pos[0], end: pos[1] });
      if (document.contents !== null) roots.push(fromYaml(document.contents, document, 0, budget));
    }
  } catch {
    errors.push({ start: 0, end: text.length }); // The parser recurses, so deep nesting ends here.
  }
  return { path, syntax: 'yaml', roots, errors };
}

function fromYaml(node: unknown, document: yaml.Document, depth: number, budget: Budget): DocumentNode {
  budget.nodes--;
  if (yaml.isAlias(node)) {
    budget.aliases--;
    const isOver = depth > MAX_DEPTH || budget.nodes < 0 || budget.aliases < 0;
    const target = isOver ? undefined : node.resolve(document);
    const inner =
      target === undefined ? nothing(spanOf(node)) : fromYaml(target, document, depth + 1, budget);
    return inner;
  }
  if (!yaml.isNode(node)) return nothing({ start: 0, end: 0 });
  const span = { ...spanOf(node), tag: shortTag(node.tag) };
  if (depth > MAX_DEPTH || budget.nodes < 0) return nothing(span);
  if (yaml.isMap(node)) {
    const entries = node.items.flatMap(({ key, value }): MapEntry[] => {
      if (!yaml.isScalar(key)) return [];
      const { start, end } = spanOf(key);
      const inner =
        value === null || value === undefined
          ? nothing({ start: end, end })
          : fromYaml(value, document, depth + 1, budget);
      // A merge key brings in the entries of another map.
      if (key.value === '<<' && inner.kind === 'map') return inner.entries;
      return [{ key: String(key.value), keyStart: start, value: inner }];
    });
    return { kind: 'map', entries, isFlow: node.flow === true, ...span };
  }
  if (yaml.isSeq(node)) {
    return {
      kind: 'list',
      items: node.items.map((item) => fromYaml(item, document, depth + 1, budget)),
      ...span,
    };
  }
  const { value, type } = node as yaml.Scalar;
  const simple =
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
  return {
    kind: 'scalar',
    value: simple,
    isBlock: type === 'BLOCK_LITERAL' || type === 'BLOCK_FOLDED',
    ...span,
  };
}

function nothing(span: NodeSpan): DocumentNode {
  return { kind: 'scalar', value: null, isBlock: false, tag: null, ...span };
}

function spanOf(node: yaml.Node): NodeSpan {
  const [start, end] = node.range ?? [0, 0];
  return { start, end };
}

function shortTag(tag: string | undefined): string | null {
  return tag?.startsWith('!') && !tag.startsWith('!!') ? tag.slice(1) : null;
}
