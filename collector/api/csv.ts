/**
 * Writes items whose shape is a zod object as CSV (RFC 4180). Each field has a column, and the fields of
 * nested objects have dotted names. Lists of texts are joined with "; ". Deeper values are JSON.
 */
import type { ZodObject, ZodType } from 'zod';

export interface Column {
  name: string;
  path: readonly string[];
}

interface Wrapped {
  def: { type: string; innerType?: ZodType };
}

export function columnsOf(schema: ZodObject, parentPath: readonly string[] = []): Column[] {
  return Object.entries(schema.shape).flatMap(([key, field]) => {
    const path = [...parentPath, key];
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

/** Characters that begin a formula, in ASCII and in the wide and small forms that spreadsheets accept. */
const FORMULA_SIGN = '[=+\\-@＝＋－＠﹦﹢﹣﹫−]';
/**
 * Invisible characters, which some spreadsheets drop: spaces, controls, format characters, marks and blank
 * letters.
 */
const INVISIBLE = '[\\p{Z}\\p{C}\\p{M}\\u115f\\u1160\\u2800\\u3164\\uffa0]';
const FORMULA_AT_START = new RegExp(`^(?:(?:"|${INVISIBLE})*${FORMULA_SIGN}|[\\t\\r\\n])`, 'u');
/**
 * A formula after a character that spreadsheets with other country settings take for the end of a cell or of
 * a line.
 */
const FORMULA_BEHIND_SEPARATOR = new RegExp(
  `([;|\\t\\r\\n\\v\\f\\u0085\\u2028\\u2029](?:"|${INVISIBLE})*)(?=${FORMULA_SIGN})`,
  'gu',
);
const NEEDS_QUOTES = new RegExp(
  `[",;|'\\p{C}\\p{Zl}\\p{Zp}]|${FORMULA_SIGN}|^${INVISIBLE}|${INVISIBLE}$`,
  'u',
);

/**
 * Returns a cell that spreadsheets show as text. They run a cell that begins like a formula, and the text may
 * be the name of any process. An apostrophe keeps it text (OWASP, "CSV injection"). A spreadsheet that splits
 * the file at another character than the comma ignores our quotes, so the apostrophe is also added after such
 * characters.
 */
function textCell(text: string): string {
  const inside = text.replace(FORMULA_BEHIND_SEPARATOR, "$1'");
  const safe = FORMULA_AT_START.test(text) ? `'${inside}` : inside;
  return NEEDS_QUOTES.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
