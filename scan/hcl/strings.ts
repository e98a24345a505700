/** Strings, templates and heredocs of HCL (HCL native syntax specification, "Template Expressions"). Pure. */
import type { SyntaxNode } from './syntax_node.ts';
import type { Expression } from './tree.ts';

type Convert = (node: SyntaxNode, text: string) => Expression;

/** Converts `string_lit`, `quoted_template` and `heredoc_template`. */
export function convertString(node: SyntaxNode, text: string, convert?: Convert): Expression {
  const span = { start: node.start, end: node.end };
  const isHeredoc = node.type === 'heredoc_template';
  const marker = node.children.find(({ type }) => type === 'heredoc_start');
  const isIndented = marker !== undefined && text.slice(marker.start, marker.end) === '<<-';
  const parts: Expression[] = [];
  for (const child of node.children) {
    if (child.type === 'template_literal') {
      const raw = text.slice(child.start, child.end);
      const value = isHeredoc ? raw : decodeEscapes(raw);
      parts.push({ kind: 'literal', value: unescapeMarkers(value), start: child.start, end: child.end });
    } else if (child.type === 'template_interpolation') {
      const inner = child.children.find(({ type }) => type === 'expression');
      parts.push(
        inner === undefined || convert === undefined
          ? { kind: 'unsupported', why: 'an empty interpolation', start: child.start, end: child.end }
          : convert(inner, text),
      );
    } else if (child.type === 'template_directive' || child.type === 'ERROR') {
      parts.push({ kind: 'unsupported', why: 'a template directive', start: child.start, end: child.end });
    }
  }
  if (parts.every((part) => part.kind === 'literal')) {
    const value = parts.map((part) => (part.kind === 'literal' ? String(part.value) : '')).join('');
    return { kind: 'literal', value: isIndented ? dedent(value) : value, ...span };
  }
  return { kind: 'template', parts, ...span };
}

const ESCAPES: Record<string, string> = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\' };

function decodeEscapes(raw: string): string {
  if (!raw.includes('\\')) return raw;
  return raw.replace(/\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/gs, (whole, short, long, one) => {
    if (one !== undefined) return ESCAPES[one as string] ?? whole;
    const code = Number.parseInt((short ?? long) as string, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

function unescapeMarkers(text: string): string {
  return text.replaceAll('$${', '${').replaceAll('%%{', '%{');
}

function dedent(text: string): string {
  const lines = text.split('\n');
  const widths = lines.filter((line) => line.trim() !== '').map((line) => /^[ \t]*/.exec(line)![0].length);
  const width = Math.min(...widths);
  return Number.isFinite(width)
    ? lines.map((line) => line.slice(Math.min(width, line.length))).join('\n')
    : text;
}
