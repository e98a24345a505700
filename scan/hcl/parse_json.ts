/** Parses HCL's JSON spelling (`.tf.json`, Packer templates in JSON) into the same syntax tree. Pure. */
import { type Node, type ParseError, parseTree } from 'jsonc-parser';
import { parseHcl } from './parse.ts';
import type { Attribute, Block, Expression, HclFile, Span } from './tree.ts';

/** Block types of a root file with their number of labels (Terraform language, "JSON Configuration Syntax"). */
const LABELS: Record<string, number> = {
  resource: 2,
  data: 2,
  module: 1,
  variable: 1,
  output: 1,
  provider: 1,
  source: 2,
  locals: 0,
  terraform: 0,
};
/** Nested blocks that are read; everything else that is an object is an attribute. */
const NESTED = new Set([
  'metadata_options',
  'instance_metadata_options',
  'instance_metadata_service_configuration',
  'launch_template',
  'launch_template_config',
  'launch_template_specification',
  'launch_template_overrides',
  'launch_specification',
  'mixed_instances_policy',
  'override',
  'dynamic',
  'content',
  'setting',
  'filter',
  'lifecycle',
]);
const MAX_DEPTH = 100;

/** Never throws for any text. */
export function parseHclJson(path: string, text: string): HclFile {
  const found: ParseError[] = [];
  let root: Node | undefined;
  try {
    root = parseTree(text.startsWith('\ufeff') ? ` ${text.slice(1)}` : text, found, {
      allowTrailingComma: false,
      disallowComments: true,
    });
  } catch {
    root = undefined; // The parser recurses, so a text that is nested too deep ends here.
    found.push({ error: 1, offset: 0, length: text.length });
  }
  const body = blockOf('', [], root, { start: 0, end: text.length });
  for (const { key, value, span } of propertiesOf(root)) {
    const labels = LABELS[key];
    if (labels === undefined) body.attributes.push(attributeFrom(key, value, span));
    else addLabelled(body, key, [], labels, value, span);
  }
  return { path, body, errors: found.map(({ offset, length }) => ({ start: offset, end: offset + length })) };
}

function addLabelled(
  into: Block,
  type: string,
  labels: string[],
  missing: number,
  node: Node,
  span: Span,
): void {
  if (node.type === 'array') {
    for (const item of node.children ?? []) addLabelled(into, type, labels, missing, item, spanOf(item));
    return;
  }
  if (missing > 0) {
    for (const { key, value, span: inner } of propertiesOf(node))
      addLabelled(into, type, [...labels, key], missing - 1, value, inner);
    return;
  }
  const block = blockOf(type, labels, node, span);
  fill(block, node, 0);
  into.blocks.push(block);
}

function fill(block: Block, node: Node, depth: number): void {
  for (const { key, value, span } of propertiesOf(node)) {
    if (depth < MAX_DEPTH && NESTED.has(key) && (value.type === 'object' || value.type === 'array')) {
      addNested(block, key, value, span, depth);
    } else {
      block.attributes.push(attributeFrom(key, value, span));
    }
  }
}

function addNested(block: Block, key: string, value: Node, span: Span, depth: number): void {
  for (const item of value.type === 'array' ? (value.children ?? []) : [value]) {
    if (key === 'dynamic') {
      for (const inner of propertiesOf(item)) {
        for (const one of inner.value.type === 'array' ? (inner.value.children ?? []) : [inner.value]) {
          const nested = blockOf('dynamic', [inner.key], one, inner.span);
          fill(nested, one, depth + 1);
          block.blocks.push(nested);
        }
      }
    } else {
      const nested = blockOf(key, [], item, value.type === 'array' ? spanOf(item) : span);
      fill(nested, item, depth + 1);
      block.blocks.push(nested);
    }
  }
}

function blockOf(type: string, labels: string[], node: Node | undefined, span: Span): Block {
  const start = node?.type === 'object' ? node.offset + 1 : span.end;
  const end = node?.type === 'object' ? node.offset + node.length - 1 : span.end;
  return {
    type,
    labels,
    ...span,
    bodyStart: start,
    bodyEnd: Math.max(start, end),
    attributes: [],
    blocks: [],
    syntax: 'json',
  };
}

function propertiesOf(node: Node | undefined): { key: string; value: Node; span: Span }[] {
  if (node?.type === 'array') return (node.children ?? []).flatMap((item) => propertiesOf(item));
  if (node?.type !== 'object') return [];
  return (node.children ?? []).flatMap((property) => {
    const [key, value] = property.children ?? [];
    if (key === undefined || value === undefined || key.value === '//') return [];
    return [{ key: String(key.value), value, span: { start: key.offset, end: value.offset + value.length } }];
  });
}

function spanOf(node: Node): Span {
  return { start: node.offset, end: node.offset + node.length };
}

function attributeFrom(name: string, value: Node, span: Span): Attribute {
  return { name, value: expressionOf(value, 0), ...span };
}

/** Strings of JSON are templates: `"${var.x}"` is the expression. */
function expressionOf(node: Node, depth: number): Expression {
  const span = spanOf(node);
  if (depth > MAX_DEPTH) return { kind: 'unsupported', why: 'a value that is nested too deep', ...span };
  switch (node.type) {
    case 'array':
      return {
        kind: 'tuple',
        items: (node.children ?? []).map((item) => expressionOf(item, depth + 1)),
        ...span,
      };
    case 'object':
      return {
        kind: 'object',
        entries: propertiesOf(node).map(({ key, value, span: entry }) => ({
          key: { kind: 'literal', value: key, start: entry.start, end: entry.start },
          value: expressionOf(value, depth + 1),
          ...entry,
        })),
        ...span,
      };
    case 'string': {
      const text = String(node.value);
      return /[$%]\{/.test(text) ? templateOf(text, span) : { kind: 'literal', value: text, ...span };
    }
    case 'number':
    case 'boolean':
      return { kind: 'literal', value: node.value as number | boolean, ...span };
    default:
      return { kind: 'literal', value: null, ...span };
  }
}

/** Parses the template inside a JSON string. Its inner positions are not those of the file. */
function templateOf(text: string, span: Span): Expression {
  const quoted = JSON.stringify(text).replaceAll(/\\"/g, '\\u0022');
  const inner = `x = "${unquotedTemplate(text) ?? quoted.slice(1, -1)}"\n`;
  const expression = parseHcl('', inner).body.attributes[0]?.value;
  return expression === undefined
    ? { kind: 'unsupported', why: 'a template', ...span }
    : moved(expression, span);
}

/** Quotes inside an interpolation stay quotes, as in `"${var.x == "a"}"`. */
function unquotedTemplate(text: string): string | null {
  return /^[^\n\r\\]*$/.test(text) && !/^[^$]*"/.test(text.split(/[$%]\{/)[0] ?? '') ? text : null;
}

/** Gives all parts of the expression the place of the whole string. */
function moved(expression: Expression, span: Span): Expression {
  const copy = structuredClone(expression);
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) for (const item of node) visit(item);
    else if (typeof node === 'object' && node !== null) {
      const record = node as Record<string, unknown>;
      if (typeof record['start'] === 'number') Object.assign(record, span);
      for (const value of Object.values(record)) visit(value);
    }
  };
  visit(copy);
  return copy;
}
