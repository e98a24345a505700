/**
 * Tables of items whose shape is a zod object: RFC 4180, a column for each field, those of nested objects by dotted
 * names. Lists of words are joined by "; ", anything deeper is JSON.
 */
import type { ZodObject, ZodType } from 'zod';

export interface Column {
  name: string;
  path: readonly string[];
}

interface Wrapped {
  def: { type: string; innerType?: ZodType };
}

export function columnsOf(schema: ZodObject, above: readonly string[] = []): Column[] {
  return Object.entries(schema.shape).flatMap(([key, field]) => {
    const path = [...above, key];
    const inner = innermost(field as ZodType);
    return isObject(inner) ? columnsOf(inner, path) : [{ name: path.join('.'), path }];
  });
}

export function csvHead(columns: readonly Column[]): string {
  return `${columns.map(({ name }) => cell(name)).join(',')}\r\n`;
}

export function csvLine(columns: readonly Column[], item: unknown): string {
  return `${columns.map(({ path }) => cell(valueAt(item, path))).join(',')}\r\n`;
}

function innermost(schema: ZodType): ZodType {
  const { innerType } = (schema as unknown as Wrapped).def;
  return innerType === undefined ? schema : innermost(innerType);
}

function isObject(schema: ZodType): schema is ZodObject {
  return (schema as unknown as Wrapped).def.type === 'object';
}

function valueAt(item: unknown, path: readonly string[]): unknown {
  let value = item;
  for (const key of path) {
    if (value === null || value === undefined) return null;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

function cell(value: unknown): string {
  switch (typeof value) {
    case 'number':
    case 'boolean':
      return String(value);
    case 'string':
      return textCell(value);
    default:
      if (value === null || value === undefined) return '';
      if (Array.isArray(value) && value.every((entry) => typeof entry !== 'object')) {
        return textCell(value.join('; '));
      }
      return textCell(JSON.stringify(value));
  }
}

/**
 * Spreadsheets run a cell that begins like a formula, and what is in it comes from anybody's process names: an
 * apostrophe in front keeps it text (OWASP, "CSV injection").
 */
function textCell(text: string): string {
  const safe = /^[=+\-@\t\r\n＝＋－＠]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) || safe !== safe.trim() ? `"${safe.replaceAll('"', '""')}"` : safe;
}
