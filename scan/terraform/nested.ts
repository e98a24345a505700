/** Reads nested blocks and attributes of a Terraform resource, `dynamic` blocks included. */
import { bind, evaluate, type Scope } from '../evaluate/expression.ts';
import { isList, isMap, isUnknown, makeValue, type Place, type Value } from '../evaluate/value.ts';
import { type Attribute, attributeOf, type Block, blocksOf } from '../hcl/tree.ts';
import { type Said, SILENT } from '../rules/declaration.ts';

/** A nested block with the scope that its content is computed in. */
export interface Nested {
  block: Block;
  scope: Scope;
}

export type NestedAnswer =
  | { is: 'present'; nested: Nested[] }
  | { is: 'absent' }
  | { is: 'unknown'; reason: string; place: Place };

/** Returns the nested blocks of a type, written or made by `dynamic`. */
export function nestedBlocks(block: Block, type: string, scope: Scope): NestedAnswer {
  const nested: Nested[] = blocksOf(block, type).map((inner) => ({ block: inner, scope }));
  for (const dynamic of blocksOf(block, 'dynamic')) {
    if (dynamic.labels[0] !== type) continue;
    const content = blocksOf(dynamic, 'content')[0];
    const forEach = attributeOf(dynamic, 'for_each');
    if (content === undefined || forEach === undefined) continue;
    const over = evaluate(forEach.value, scope);
    if (isUnknown(over.data)) {
      const place = { path: scope.path, start: forEach.start, end: forEach.end };
      return { is: 'unknown', reason: over.data.reason, place };
    }
    const named = attributeOf(dynamic, 'iterator')?.value;
    const iterator = named?.kind === 'name' ? named.name : type;
    for (const [key, value] of pairsOf(over)) {
      const item = makeValue(
        new Map([
          ['key', key],
          ['value', value],
        ]),
      );
      nested.push({ block: content, scope: bind(scope, new Map([[iterator, item]])) });
    }
  }
  return nested.length === 0 ? { is: 'absent' } : { is: 'present', nested };
}

function pairsOf({ data }: Value): [Value, Value][] {
  if (isList(data)) return data.map((item, at) => [makeValue(at), item]);
  if (isMap(data)) return [...data].map(([key, item]) => [makeValue(key), item]);
  return [];
}

/** Reads one setting of a block. `parse` returns null for a value that the setting cannot have. */
export function readAttribute<T>(
  block: Block,
  name: string,
  scope: Scope,
  parse: (value: Value) => T | null,
): Said<T> {
  const attribute = attributeOf(block, name);
  return attribute === undefined
    ? SILENT
    : readValue(evaluate(attribute.value, scope), placeOf(attribute, scope), parse);
}

/** Judges a computed value that stands at a place. */
export function readValue<T>(value: Value, place: Place, parse: (value: Value) => T | null): Said<T> {
  const { data, literal, steps } = value;
  if (data === null) return { is: 'silent', place, literal, steps };
  if (isUnknown(data)) return { is: 'unknown', reason: data.reason, place, steps };
  const parsed = parse(value);
  if (parsed === null)
    return { is: 'unknown', reason: `${show(value)} is no value of this setting`, place, steps };
  return { is: 'said', value: parsed, place, literal, steps };
}

function show({ data }: Value): string {
  return typeof data === 'string' || typeof data === 'number' || typeof data === 'boolean'
    ? JSON.stringify(data).slice(0, 80)
    : 'the value';
}

export function placeOf(attribute: Attribute, scope: Scope): Place {
  return { path: scope.path, start: attribute.start, end: attribute.end };
}
