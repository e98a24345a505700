/** Input variables: variable files, `-var`, types with defaults. */
import { evaluate, type Scope } from '../evaluate/expression.ts';
import {
  asBoolean,
  asNumber,
  asText,
  isList,
  isMap,
  isUnknown,
  makeValue,
  type Place,
  unknown,
  type Value,
} from '../evaluate/value.ts';
import { parseHcl } from '../hcl/parse.ts';
import { parseHclJson } from '../hcl/parse_json.ts';
import type { Expression } from '../hcl/tree.ts';
import type { SourceFile } from '../source_file.ts';

/** A value that is given to a variable from outside its module. */
export interface GivenValue {
  value: Value;
  /** Clause for the evidence: `is set in prod.tfvars`. */
  says: string;
  place: Place | null;
}

/** Has no names: variable files hold literal values only. */
function literalScope(path: string): Scope {
  return {
    path,
    spend: () => true,
    resolve: (names) => ({ value: unknown(`${names.join('.')} is no literal`), used: names.length }),
  };
}

/** Reads a variable file. */
export function readVariableFile({ path, text }: SourceFile): Map<string, GivenValue> {
  const file = path.endsWith('.json') ? parseHclJson(path, text) : parseHcl(path, text);
  const scope = literalScope(path);
  return new Map(
    file.body.attributes.map(({ name, value, start, end }) => [
      name,
      { value: evaluate(value, scope), says: `is set in ${path}`, place: { path, start, end } },
    ]),
  );
}

/** Reads the text of `-var NAME=TEXT`: an expression for lists and maps, else the text itself. */
export function readVariableOption(text: string): GivenValue {
  const isExpression = /^\s*[[{]/.test(text);
  const expression = isExpression ? parseHcl('-var', `x = ${text}\n`).body.attributes[0]?.value : undefined;
  const value = expression === undefined ? makeValue(text) : evaluate(expression, literalScope('-var'));
  return { value: withoutPlaces(value), says: 'is given by --var', place: null };
}

function withoutPlaces(value: Value): Value {
  const { data } = value;
  if (isList(data)) return makeValue(data.map(withoutPlaces));
  if (isMap(data)) return makeValue(new Map([...data].map(([key, item]) => [key, withoutPlaces(item)])));
  return makeValue(data);
}

const MAX_DEPTH = 32;

/**
 * Converts a value to the type of a variable: primitives are converted, and attributes of an object that are
 * missing get the default of `optional(type, default)`.
 */
export function convertToType(value: Value, type: Expression | null, path: string, depth = 0): Value {
  const { data } = value;
  if (type === null || isUnknown(data) || data === null || depth > MAX_DEPTH) return value;
  if (type.kind === 'name') return convertPrimitive(value, type.name);
  if (type.kind !== 'call') return value;
  const [inner] = type.args;
  switch (type.name) {
    case 'list':
    case 'set':
    case 'map':
      if (isList(data))
        return { ...value, data: data.map((item) => convertToType(item, inner ?? null, path, depth + 1)) };
      if (isMap(data))
        return {
          ...value,
          data: new Map(
            [...data].map(([key, item]) => [key, convertToType(item, inner ?? null, path, depth + 1)]),
          ),
        };
      return value;
    case 'object':
      return isMap(data) && inner?.kind === 'object' ? convertObject(value, inner, path, depth) : value;
    case 'optional':
      return convertToType(value, inner ?? null, path, depth + 1);
    default:
      return value;
  }
}

function convertObject(
  value: Value,
  type: Extract<Expression, { kind: 'object' }>,
  path: string,
  depth: number,
): Value {
  const given = value.data as ReadonlyMap<string, Value>;
  const converted = new Map<string, Value>();
  for (const { key, value: inner } of type.entries) {
    if (key.kind !== 'literal') continue;
    const name = String(key.value);
    const fallback = inner.kind === 'call' && inner.name === 'optional' ? inner.args[1] : undefined;
    const found = given.get(name);
    const isMissing = found === undefined || (found.data === null && fallback !== undefined);
    const chosen = isMissing
      ? fallback === undefined
        ? makeValue(null)
        : evaluate(fallback, literalScope(path))
      : found;
    converted.set(name, convertToType(chosen, inner, path, depth + 1));
  }
  return { ...value, data: converted };
}

function convertPrimitive(value: Value, type: string): Value {
  const { data } = value;
  const converted =
    type === 'bool'
      ? asBoolean(data)
      : type === 'number'
        ? asNumber(data)
        : type === 'string'
          ? asText(data)
          : null;
  return converted === null ? value : { ...value, data: converted };
}
