/** Makes the smallest insertions into HCL's native syntax. Pure. */
import type { Edit } from '../finding.ts';
import type { Block } from '../hcl/tree.ts';
import { indentAt, indentStep, isFirstOnLine, lineEndingAt, lineStartOf } from './layout.ts';

/** Lines to insert, without indentation; nested lines begin with `\t`, which becomes one step. */
export type Lines = readonly string[];

/** Inserts lines at the end of a block's body. `isApart` puts a blank line before them. */
export function insertIntoBlock(
  path: string,
  text: string,
  block: Block,
  lines: Lines,
  isApart: boolean,
): Edit[] {
  const eol = lineEndingAt(text, block.start);
  const outer = indentAt(text, block.start);
  const members = [...block.attributes, ...block.blocks].toSorted((one, other) => one.start - other.start);
  const first = members.find(({ start }) => isFirstOnLine(text, start));
  const step = indentStep(outer, first === undefined ? null : indentAt(text, first.start));
  const inner = first === undefined ? outer + step : indentAt(text, first.start);
  const written = lines.map((line) => inner + line.replaceAll('\t', step)).join(eol) + eol;
  if (isFirstOnLine(text, block.bodyEnd) && text.slice(block.bodyStart, block.bodyEnd).includes('\n')) {
    const at = lineStartOf(text, block.bodyEnd);
    const isBlankAbove =
      text.slice(block.bodyStart, at).trim() === '' || /\n[ \t]*\r?\n$/.test(text.slice(0, at));
    return [{ path, start: at, end: at, text: (isApart && !isBlankAbove ? eol : '') + written }];
  }
  // The block stands on one line, which may hold one attribute only, so it is opened up.
  const gap = /^[ \t]*/.exec(text.slice(block.bodyStart))![0].length;
  const last = members.at(-1);
  if (last === undefined) {
    const end = Math.min(block.bodyStart + gap, block.bodyEnd);
    return [{ path, start: block.bodyStart, end, text: eol + written + outer }];
  }
  const start = lastCodeEnd(text, block.bodyStart, block.bodyEnd);
  return [
    { path, start: block.bodyStart, end: Math.min(block.bodyStart + gap, block.bodyEnd), text: eol + inner },
    { path, start, end: block.bodyEnd, text: eol + written + outer },
  ];
}

/** Returns where the spaces before the closing brace begin. */
function lastCodeEnd(text: string, from: number, to: number): number {
  return from + text.slice(from, to).trimEnd().length;
}

/** Pads a name so that its `=` stands below that of the last attribute, where attributes are aligned. */
export function alignedAttribute(text: string, block: Block, name: string, value: string): string {
  const last = block.attributes.findLast(({ start }) => isFirstOnLine(text, start));
  if (last === undefined) return `${name} = ${value}`;
  const width = /^[^=\n]*/.exec(text.slice(last.start, last.end))![0].length - 1;
  return `${width >= name.length && width - last.name.length < 40 ? name.padEnd(width) : name} = ${value}`;
}

/** Inserts an entry at the end of an object expression, given by its span with both braces. */
export function insertIntoObject(
  path: string,
  text: string,
  start: number,
  end: number,
  entry: string,
): Edit[] {
  const close = end - 1;
  if (text[start] !== '{' || text[close] !== '}') return [];
  const body = text.slice(start + 1, close);
  const eol = lineEndingAt(text, start);
  if (body.trim() === '') {
    return [{ path, start: start + 1, end: close, text: ` ${entry} ` }];
  }
  if (body.includes('\n') && isFirstOnLine(text, close)) {
    const outer = indentAt(text, close);
    const firstLine = /\n([ \t]*)\S/.exec(body);
    const inner = firstLine?.[1] ?? `${outer}  `;
    const at = lineStartOf(text, close);
    return [{ path, start: at, end: at, text: `${inner}${entry}${eol}` }];
  }
  const at = lastCodeEnd(text, start + 1, close);
  const isSeparated = /,\s*$/.test(text.slice(start + 1, at));
  // A line comment would swallow the entry.
  if (/(#|\/\/)[^\n]*$/.test(body)) return [];
  return [{ path, start: at, end: at, text: `${isSeparated ? '' : ','} ${entry}` }];
}
