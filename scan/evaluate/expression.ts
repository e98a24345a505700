/** Computes expressions of HCL. Pure: names come from a scope, and every value keeps its origin. */
import type { Expression } from '../hcl/tree.ts';
import { callFunction, MAX_TEXT, TOO_LONG } from './functions.ts';
import { arithmetic } from './operators.ts';
import {
  asBoolean,
  asText,
  failure,
  isEqual,
  isList,
  isMap,
  isUnknown,
  makeValue,
  Reference,
  unknown,
  type Value,
} from './value.ts';

export interface Scope {
  path: string;
  /**
   * Returns the value of a name followed by attributes, such as `var.tokens.mode`, and how many of the names
   * it used.
   */
  resolve(names: readonly string[]): { value: Value; used: number };
  /** Counts a step of evaluation. Returns false when the bound is reached. */
  spend(): boolean;
}

export function evaluate(expression: Expression, scope: Scope): Value {
  if (!scope.spend()) return unknown('the code takes too many steps to compute');
  const place = { path: scope.path, start: expression.start, end: expression.end };
  switch (expression.kind) {
    case 'literal':
      return makeValue(expression.value, place);
    case 'template':
      return evaluateTemplate(expression.parts, scope);
    case 'name':
    case 'attribute':
      return evaluatePath(expression, scope);
    case 'index':
      return evaluateIndex(expression, scope);
    case 'splat':
      return evaluateSplat(evaluate(expression.of, scope), expression.names);
    case 'conditional':
      return evaluateConditional(expression, scope);
    case 'unary': {
      const { data, steps } = evaluate(expression.of, scope);
      if (isUnknown(data)) return makeValue(data, null, steps);
      const truth = asBoolean(data);
      if (expression.operator === '!' && truth !== null) return makeValue(!truth, null, steps);
      if (expression.operator === '-' && typeof data === 'number') return makeValue(-data, null, steps);
      return failure(`"${expression.operator}" is applied to a value of the wrong type`);
    }
    case 'binary':
      return evaluateBinary(expression, scope);
    case 'call':
      return evaluateCall(expression, scope);
    case 'tuple':
      return makeValue(
        expression.items.map((item) => evaluate(item, scope)),
        place,
      );
    case 'object': {
      const entries = new Map<string, Value>();
      for (const { key, value } of expression.entries) {
        const name = asText(evaluate(key, scope).data);
        if (name === null) return unknown('a key of the object is not known');
        entries.set(name, evaluate(value, scope));
      }
      return makeValue(entries, place);
    }
    case 'for':
      return evaluateFor(expression, scope);
    case 'unsupported':
      return unknown(`${expression.why} is not computed`);
  }
}

/** Returns an attribute of a value. */
export function attributeOf({ data, steps }: Value, name: string): Value {
  if (data instanceof Reference)
    return makeValue(
      new Reference(data.address, data.attribute === '' ? name : `${data.attribute}.${name}`),
      null,
      steps,
    );
  if (isUnknown(data)) return makeValue(data, null, steps);
  if (isMap(data)) {
    const value = data.get(name);
    if (value === undefined) return failure(`there is no attribute "${name}"`);
    return steps.length === 0 ? value : { ...value, steps: [...steps, ...value.steps] };
  }
  if (isList(data) && /^\d+$/.test(name)) return elementOf({ data, steps, literal: null }, Number(name));
  return failure(`"${name}" is asked of a value that has no attributes`);
}

function elementOf({ data, steps }: Value, at: number): Value {
  const value = isList(data) ? data[at] : undefined;
  if (value === undefined) return failure(`there is no element ${at}`);
  return steps.length === 0 ? value : { ...value, steps: [...steps, ...value.steps] };
}

function evaluatePath(expression: Expression, scope: Scope): Value {
  const names: string[] = [];
  let at = expression;
  while (at.kind === 'attribute') {
    names.unshift(at.name);
    at = at.of;
  }
  if (at.kind === 'name') {
    names.unshift(at.name);
    const { value, used } = scope.resolve(names);
    return names.slice(used).reduce(attributeOf, value);
  }
  return names.reduce(attributeOf, evaluate(at, scope));
}

function evaluateIndex(expression: Extract<Expression, { kind: 'index' }>, scope: Scope): Value {
  const of = evaluate(expression.of, scope);
  // All instances of a resource come from the same block, so the key does not matter for a reference.
  if (of.data instanceof Reference) return of;
  const key = evaluate(expression.key, scope);
  if (isUnknown(of.data)) return of;
  if (isUnknown(key.data)) return makeValue(key.data, null, key.steps);
  if (isList(of.data) && typeof key.data === 'number') return elementOf(of, key.data);
  const name = asText(key.data);
  return name === null ? failure('the index is of the wrong type') : attributeOf(of, name);
}

function evaluateSplat(of: Value, names: readonly string[]): Value {
  if (of.data instanceof Reference) return makeValue([names.reduce(attributeOf, of)]);
  if (isUnknown(of.data)) return of;
  if (of.data === null) return makeValue([]);
  const items = isList(of.data) ? of.data : [of];
  return makeValue(items.map((item) => names.reduce(attributeOf, item)));
}

function evaluateTemplate(parts: readonly Expression[], scope: Scope): Value {
  if (parts.length === 1) return evaluate(parts[0]!, scope);
  let text = '';
  for (const part of parts) {
    const value = evaluate(part, scope);
    if (isUnknown(value.data)) return makeValue(value.data, null, value.steps);
    const piece = asText(value.data);
    if (piece === null) return failure('a part of the text is no text');
    text += piece;
    if (text.length > MAX_TEXT) return TOO_LONG;
  }
  return makeValue(text);
}

function evaluateConditional(expression: Extract<Expression, { kind: 'conditional' }>, scope: Scope): Value {
  const test = evaluate(expression.test, scope);
  if (isUnknown(test.data)) {
    const yes = evaluate(expression.yes, scope);
    const no = evaluate(expression.no, scope);
    // Both branches agree, so the condition does not matter.
    if (isEqual(yes.data, no.data) === true) return { ...yes, literal: null };
    return makeValue(test.data, null, test.steps);
  }
  const truth = asBoolean(test.data);
  if (truth === null) return failure('the condition is neither true nor false');
  const chosen = evaluate(truth ? expression.yes : expression.no, scope);
  return test.steps.length === 0 ? chosen : { ...chosen, steps: [...test.steps, ...chosen.steps] };
}

function evaluateBinary(expression: Extract<Expression, { kind: 'binary' }>, scope: Scope): Value {
  const left = evaluate(expression.left, scope);
  const right = evaluate(expression.right, scope);
  const steps = [...left.steps, ...right.steps];
  const { operator } = expression;
  if (operator === '&&' || operator === '||') {
    // One side can decide alone.
    const decides = operator === '||';
    const [one, other] = [asBoolean(left.data), asBoolean(right.data)];
    if (one === decides || other === decides) return makeValue(decides, null, steps);
    if (one !== null && other !== null) return makeValue(!decides, null, steps);
  }
  if (operator === '==' || operator === '!=') {
    const same = isEqual(left.data, right.data);
    if (same !== null) return makeValue(same === (operator === '=='), null, steps);
  }
  for (const side of [left, right]) if (isUnknown(side.data)) return makeValue(side.data, null, steps);
  return arithmetic(operator, left, right, steps);
}

function evaluateCall(expression: Extract<Expression, { kind: 'call' }>, scope: Scope): Value {
  const args = expression.args.map((arg) => evaluate(arg, scope));
  if (expression.expandsLast) {
    const last = args.pop();
    if (last === undefined || isUnknown(last.data)) return last ?? failure('nothing is expanded');
    if (!isList(last.data)) return failure('the expanded argument is no list');
    for (const item of last.data.slice(0, MAX_ELEMENTS)) args.push(item);
  }
  return callFunction(expression.name, args);
}

/** Elements of one `for` expression that are computed. */
const MAX_ELEMENTS = 10_000;

function evaluateFor(expression: Extract<Expression, { kind: 'for' }>, scope: Scope): Value {
  const over = evaluate(expression.over, scope);
  if (isUnknown(over.data)) return makeValue(over.data, null, over.steps);
  const pairs: [Value, Value][] = isList(over.data)
    ? over.data.map((item, at) => [makeValue(at), item])
    : isMap(over.data)
      ? [...over.data].map(([key, item]) => [makeValue(key), item])
      : [];
  if (!isList(over.data) && !isMap(over.data)) return failure('the value is neither a list nor a map');
  const entries = new Map<string, Value>();
  const items: Value[] = [];
  for (const [key, item] of pairs.slice(0, MAX_ELEMENTS)) {
    const inner = bind(
      scope,
      new Map([
        [expression.valueName, item],
        ...(expression.keyName === null ? [] : [[expression.keyName, key] as const]),
      ]),
    );
    if (expression.test !== null) {
      const test = evaluate(expression.test, inner);
      if (isUnknown(test.data)) return makeValue(test.data, null, test.steps);
      if (asBoolean(test.data) !== true) continue;
    }
    const value = evaluate(expression.value, inner);
    if (expression.key === null) {
      items.push(value);
      continue;
    }
    const name = asText(evaluate(expression.key, inner).data);
    if (name === null) return unknown('a key of the object is not known');
    const old = entries.get(name)?.data;
    entries.set(
      name,
      expression.groups ? makeValue([...(old !== undefined && isList(old) ? old : []), value]) : value,
    );
  }
  return makeValue(expression.key === null ? items : entries, null, over.steps);
}

/** Returns a scope in which some names have values of their own. */
export function bind(scope: Scope, names: ReadonlyMap<string, Value>): Scope {
  return {
    path: scope.path,
    spend: () => scope.spend(),
    resolve: (path) => {
      const value = names.get(path[0]!);
      return value === undefined ? scope.resolve(path) : { value, used: 1 };
    },
  };
}
