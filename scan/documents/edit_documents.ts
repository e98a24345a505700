/** Makes the smallest edits of YAML and JSON documents. Pure. */
import { insertIntoJsonObject } from '../edits/json_edits.ts';
import { indentStep, lineEndingAt, lineStartOf } from '../edits/layout.ts';
import type { Edit } from '../finding.ts';
import type { DocumentNode, MapNode, NodeSpan } from './node.ts';

export interface EditTarget {
  path: string;
  text: string;
  syntax: 'yaml' | 'json';
}

/** A value to insert: nested maps of texts. */
export type NewValue = string | number | boolean | { [key: string]: NewValue };

/** Replaces a scalar and keeps its quotes. */
export function replaceScalar(
  { path, text, syntax }: EditTarget,
  span: NodeSpan,
  value: string | number | boolean,
): Edit[] {
  const old = text.slice(span.start, span.end);
  const quote = /^(["']).*\1$/s.exec(old)?.[1] ?? '';
  const written = syntax === 'json' ? JSON.stringify(value) : `${quote}${value}${quote}`;
  if (syntax === 'yaml' && quote === '' && !/^[\w.-]+$/.test(old)) return [];
  return old === written ? [] : [{ path, start: span.start, end: span.end, text: written }];
}

/** Adds an entry to a map. Returns [] where the layout leaves no certain place. */
export function insertEntry(target: EditTarget, map: MapNode, key: string, value: NewValue): Edit[] {
  const { path, text, syntax } = target;
  if (syntax === 'json') {
    const last = map.entries.length === 0 ? null : lastEnd(map);
    const member = `${JSON.stringify(key)}: ${jsonText(value)}`;
    return insertIntoJsonObject(path, text, map.start + 1, map.end - 1, last, member);
  }
  return map.isFlow ? insertIntoFlow(target, map, key, value) : insertIntoBlockMap(target, map, key, value);
}

/** Gives a key without a value a map: `MetadataOptions:` and nothing behind it. */
export function fillEmpty(
  { path, text, syntax }: EditTarget,
  keyStart: number,
  node: DocumentNode,
  value: NewValue,
): Edit[] {
  if (syntax === 'json') return [{ path, start: node.start, end: node.end, text: jsonText(value) }];
  const colon = text.indexOf(':', keyStart);
  const rest = /^[ \t]*(#[^\n]*)?\r?(\n|$)/.exec(text.slice(colon + 1));
  if (colon === -1 || rest === null) {
    return /^(null|~|\{\s*\})$/.test(text.slice(node.start, node.end))
      ? [{ path, start: node.start, end: node.end, text: flowText(value) }]
      : [];
  }
  const column = ' '.repeat(keyStart - lineStartOf(text, keyStart));
  const eol = lineEndingAt(text, keyStart);
  return [
    {
      path,
      start: colon + 1,
      end: colon + 1,
      text: eol + blockText(value, `${column}  `, '  ', eol).trimEnd(),
    },
  ];
}

function lastEnd(map: MapNode): number {
  return Math.max(...map.entries.map(({ value }) => value.end));
}

function insertIntoFlow({ path, text }: EditTarget, map: MapNode, key: string, value: NewValue): Edit[] {
  if (text[map.end - 1] !== '}') return [];
  const entry = `${key}: ${flowText(value)}`;
  if (map.entries.length === 0) return [{ path, start: map.start + 1, end: map.end - 1, text: entry }];
  const at = lastEnd(map);
  return at < map.end ? [{ path, start: at, end: at, text: `, ${entry}` }] : [];
}

function insertIntoBlockMap({ path, text }: EditTarget, map: MapNode, key: string, value: NewValue): Edit[] {
  const first = map.entries[0];
  const last = map.entries.at(-1);
  if (first === undefined || last === undefined) return [];
  const eol = lineEndingAt(text, map.start);
  const line = text.slice(lineStartOf(text, first.keyStart), first.keyStart);
  if (/\t/.test(line)) return [];
  const indent = ' '.repeat(line.length);
  const nested = map.entries.find(({ value: inner }) => inner.kind === 'map' && !inner.isFlow);
  const nestedStart = nested?.value.kind === 'map' ? nested.value.entries[0]?.keyStart : undefined;
  const inner = nestedStart === undefined ? null : ' '.repeat(nestedStart - lineStartOf(text, nestedStart));
  const step = indentStep(indent, inner);
  const written = blockText({ [key]: value }, indent, step, eol);
  // Behind a last value on one line; otherwise before the first key, where no comment and no block scalar is.
  const isShort =
    last.value.kind === 'scalar' &&
    !last.value.isBlock &&
    !text.slice(last.keyStart, last.value.end).includes('\n');
  const isOwn = last.keyStart >= map.start && last.value.end <= map.end + 1;
  if (isShort && isOwn && last.value.end > last.keyStart) {
    const lineEnd = /\r?\n|$/.exec(text.slice(last.value.end))!.index + last.value.end;
    const rest = text.slice(last.value.end, lineEnd);
    if (/^[ \t]*(#.*)?$/.test(rest))
      return [{ path, start: lineEnd, end: lineEnd, text: eol + written.slice(0, -eol.length) }];
  }
  return [{ path, start: first.keyStart, end: first.keyStart, text: written.slice(indent.length) + indent }];
}

function blockText(value: NewValue, indent: string, step: string, eol: string): string {
  if (typeof value !== 'object') return `${indent}${value}${eol}`;
  return Object.entries(value)
    .map(([key, inner]) =>
      typeof inner === 'object'
        ? `${indent}${key}:${eol}${blockText(inner, indent + step, step, eol)}`
        : `${indent}${key}: ${inner}${eol}`,
    )
    .join('');
}

function flowText(value: NewValue): string {
  if (typeof value !== 'object') return String(value);
  return `{ ${Object.entries(value)
    .map(([key, inner]) => `${key}: ${flowText(inner)}`)
    .join(', ')} }`;
}

function jsonText(value: NewValue): string {
  if (typeof value !== 'object') return JSON.stringify(value);
  return `{ ${Object.entries(value)
    .map(([key, inner]) => `${JSON.stringify(key)}: ${jsonText(inner)}`)
    .join(', ')} }`;
}
