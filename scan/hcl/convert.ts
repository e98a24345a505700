/** Turns the grammar's nodes into the syntax tree. Pure. */
import { convertString } from './strings.ts';
import type { SyntaxNode } from './syntax_node.ts';
import type { Attribute, Block, Expression, ObjectEntry } from './tree.ts';

/** Adds the attributes and blocks of a `body` node to `into`. */
export function convertBody(body: SyntaxNode, text: string, into: Block): void {
  for (const child of body.children) {
    if (child.type === 'attribute') {
      const attribute = convertAttribute(child, text);
      if (attribute !== null) into.attributes.push(attribute);
    } else if (child.type === 'block') {
      into.blocks.push(convertBlock(child, text));
    }
  }
}

function convertBlock(node: SyntaxNode, text: string): Block {
  const [type, ...rest] = node.children;
  const open = node.children.find((child) => child.type === 'block_start');
  const close = node.children.find((child) => child.type === 'block_end');
  const block: Block = {
    type: type === undefined ? '' : text.slice(type.start, type.end),
    labels: [],
    start: node.start,
    end: node.end,
    bodyStart: open?.end ?? node.end,
    bodyEnd: close === undefined || close.end === close.start ? node.end : close.start,
    attributes: [],
    blocks: [],
    syntax: 'native',
  };
  for (const child of rest) {
    if (child.type === 'identifier') block.labels.push(text.slice(child.start, child.end));
    else if (child.type === 'string_lit') block.labels.push(literalText(convertString(child, text)));
    else if (child.type === 'body') convertBody(child, text, block);
  }
  return block;
}

function literalText(expression: Expression): string {
  return expression.kind === 'literal' ? String(expression.value) : '';
}

function convertAttribute(node: SyntaxNode, text: string): Attribute | null {
  const name = node.children.find(({ type }) => type === 'identifier');
  const value = node.children.find(({ type }) => type === 'expression');
  if (name === undefined || value === undefined) return null;
  return {
    name: text.slice(name.start, name.end),
    value: convert(value, text),
    start: node.start,
    end: node.end,
  };
}

/** Converts a node that stands for one value. */
export function convert(node: SyntaxNode, text: string): Expression {
  const { start, end, children } = node;
  const span = { start, end };
  switch (node.type) {
    case 'expression':
    case 'operation':
      return convertSequence(children, text, span);
    case 'literal_value':
    case 'collection_value':
    case 'template_expr':
    case 'for_expr':
      return children[0] === undefined ? unsupported(span, 'an empty value') : convert(children[0], text);
    case 'numeric_lit':
      return { kind: 'literal', value: Number(text.slice(start, end)), ...span };
    case 'bool_lit':
      return { kind: 'literal', value: text.slice(start, end) === 'true', ...span };
    case 'null_lit':
      return { kind: 'literal', value: null, ...span };
    case 'string_lit':
    case 'quoted_template':
    case 'heredoc_template':
      return convertString(node, text, convert);
    case 'variable_expr':
      return { kind: 'name', name: text.slice(start, end), ...span };
    case 'conditional':
      return convertConditional(children, text, span);
    case 'unary_operation': {
      const [operator, ...operand] = children;
      if (operator === undefined) break;
      const name = text.slice(operator.start, operator.end);
      return { kind: 'unary', operator: name, of: convertSequence(operand, text, span), ...span };
    }
    case 'binary_operation':
      return convertBinary(children, text, span);
    case 'function_call':
      return convertCall(node, text);
    case 'tuple': {
      const items = children.filter(({ type }) => type === 'expression');
      return { kind: 'tuple', items: items.map((item) => convert(item, text)), ...span };
    }
    case 'object':
      return { kind: 'object', entries: children.flatMap((child) => convertEntry(child, text)), ...span };
    case 'for_tuple_expr':
    case 'for_object_expr':
      return convertFor(node, text);
    default:
  }
  return unsupported(span, 'this syntax');
}

function unsupported(span: { start: number; end: number }, why: string): Expression {
  return { kind: 'unsupported', why, ...span };
}

/** Converts a value followed by traversals: a variable, then `.name`, `[key]` and splats. */
function convertSequence(
  children: readonly SyntaxNode[],
  text: string,
  span: { start: number; end: number },
): Expression {
  let value: Expression | null = null;
  for (const child of children) {
    switch (child.type) {
      case '(':
      case ')':
        break;
      case 'get_attr':
      case 'index':
      case 'splat':
        if (value === null) return unsupported(span, 'a traversal of nothing');
        value = traverse(value, child, text);
        break;
      case 'ERROR':
        return unsupported(span, 'a syntax error');
      default:
        if (value !== null) return unsupported(span, 'this syntax');
        value = convert(child, text);
    }
  }
  return value ?? unsupported(span, 'an empty expression');
}

function traverse(of: Expression, node: SyntaxNode, text: string): Expression {
  const span = { start: of.start, end: node.end };
  if (node.type === 'get_attr') return { kind: 'attribute', of, name: nameIn(node, text), ...span };
  if (node.type === 'index') {
    const inner = node.children[0];
    if (inner?.type === 'legacy_index') {
      const digits = text.slice(inner.start, inner.end).replace(/^\./, '');
      const key: Expression = {
        kind: 'literal',
        value: Number(digits),
        start: inner.start,
        end: inner.end,
      };
      return { kind: 'index', of, key, ...span };
    }
    const key = inner?.children.find(({ type }) => type === 'expression');
    if (key === undefined) return unsupported(span, 'an index without a key');
    return { kind: 'index', of, key: convert(key, text), ...span };
  }
  const names: string[] = [];
  for (const inner of node.children[0]?.children ?? []) {
    if (inner.type === 'get_attr') names.push(nameIn(inner, text));
    else if (inner.type === 'index') return unsupported(span, 'an index behind a splat');
  }
  return { kind: 'splat', of, names, ...span };
}

function nameIn(node: SyntaxNode, text: string): string {
  const name = node.children.find(({ type }) => type === 'identifier');
  return name === undefined ? '' : text.slice(name.start, name.end);
}

function convertConditional(
  children: readonly SyntaxNode[],
  text: string,
  span: { start: number; end: number },
): Expression {
  const [test, yes, no] = children.filter(({ type }) => type === 'expression');
  if (test === undefined || yes === undefined || no === undefined)
    return unsupported(span, 'an incomplete conditional');
  return {
    kind: 'conditional',
    test: convert(test, text),
    yes: convert(yes, text),
    no: convert(no, text),
    ...span,
  };
}

const BINARY = new Set(['==', '!=', '<', '<=', '>', '>=', '&&', '||', '+', '-', '*', '/', '%']);

function convertBinary(
  children: readonly SyntaxNode[],
  text: string,
  span: { start: number; end: number },
): Expression {
  const at = children.findIndex(
    (child) => BINARY.has(text.slice(child.start, child.end)) && child.children.length === 0,
  );
  if (at <= 0) return unsupported(span, 'this operation');
  const operator = children[at]!;
  return {
    kind: 'binary',
    operator: text.slice(operator.start, operator.end),
    left: convertSequence(children.slice(0, at), text, spanOf(children.slice(0, at))),
    right: convertSequence(children.slice(at + 1), text, spanOf(children.slice(at + 1))),
    ...span,
  };
}

function spanOf(nodes: readonly SyntaxNode[]): { start: number; end: number } {
  return { start: nodes[0]?.start ?? 0, end: nodes.at(-1)?.end ?? 0 };
}

function convertCall(node: SyntaxNode, text: string): Expression {
  const names = node.children.filter(({ type }) => type === 'identifier');
  const list = node.children.find(({ type }) => type === 'function_arguments')?.children ?? [];
  return {
    kind: 'call',
    name: names.map(({ start, end }) => text.slice(start, end)).join('::'),
    args: list.filter(({ type }) => type === 'expression').map((arg) => convert(arg, text)),
    expandsLast: list.some(({ type }) => type === 'ellipsis'),
    start: node.start,
    end: node.end,
  };
}

function convertEntry(node: SyntaxNode, text: string): ObjectEntry[] {
  if (node.type !== 'object_elem') return [];
  const [key, value] = node.children.filter(({ type }) => type === 'expression');
  if (key === undefined || value === undefined) return [];
  const written = convert(key, text);
  // A bare word is a name, not a reference; in parentheses it is a reference.
  const isBare = written.kind === 'name' && text[key.start] !== '(';
  return [
    {
      key: isBare ? { kind: 'literal', value: written.name, start: key.start, end: key.end } : written,
      value: convert(value, text),
      start: node.start,
      end: node.end,
    },
  ];
}

function convertFor(node: SyntaxNode, text: string): Expression {
  const span = { start: node.start, end: node.end };
  const intro = node.children.find(({ type }) => type === 'for_intro');
  const names = intro?.children.filter(({ type }) => type === 'identifier') ?? [];
  const over = intro?.children.find(({ type }) => type === 'expression');
  const values = node.children.filter(({ type }) => type === 'expression');
  const condition = node.children.find(({ type }) => type === 'for_cond');
  const test = condition?.children.find(({ type }) => type === 'expression');
  const [first, second] = values;
  if (over === undefined || first === undefined || names.length === 0)
    return unsupported(span, 'an incomplete for expression');
  const isObject = node.type === 'for_object_expr';
  if (isObject && second === undefined) return unsupported(span, 'an incomplete for expression');
  const nameAt = (at: number) => text.slice(names[at]!.start, names[at]!.end);
  return {
    kind: 'for',
    keyName: names.length > 1 ? nameAt(0) : null,
    valueName: nameAt(names.length - 1),
    over: convert(over, text),
    key: isObject ? convert(first, text) : null,
    value: convert(isObject ? second! : first, text),
    test: test === undefined ? null : convert(test, text),
    groups: node.children.some(({ type }) => type === 'ellipsis'),
    ...span,
  };
}
