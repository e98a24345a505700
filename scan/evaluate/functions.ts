/** Functions of Terraform that occur around instance settings. Pure. All others give an unknown value. */
import { fromJson, toJson } from './json_value.ts';
import {
  asBoolean,
  asNumber,
  asText,
  type Data,
  failure,
  firstUnknown,
  isEqual,
  isList,
  isMap,
  isUnknown,
  makeValue,
  Unknown,
  type Value,
} from './value.ts';

type Call = (args: readonly Value[]) => Value;

/** Calls a function. Arguments that are unknown make the result unknown, except where the function allows it. */
export function callFunction(name: string, args: readonly Value[]): Value {
  const lazyCall = Object.hasOwn(LAZY, name) ? LAZY[name] : undefined;
  if (lazyCall !== undefined) return lazyCall(args);
  const strict = Object.hasOwn(STRICT, name) ? STRICT[name] : undefined;
  if (strict === undefined) return makeValue(new Unknown(`the function ${name} is not computed`));
  for (const arg of args) if (isUnknown(arg.data)) return makeValue(arg.data, null, arg.steps);
  const value = strict(args);
  return typeof value.data === 'string' && value.data.length > MAX_TEXT ? TOO_LONG : value;
}

/** Elements and characters of one value, against code that doubles it again and again. */
const MAX_ELEMENTS = 100_000;
export const MAX_TEXT = 1_000_000;
export const TOO_LONG: Value = makeValue(new Unknown('the value is too long to compute'));

/** Functions that look at unknown arguments themselves. */
const LAZY: Record<string, Call> = {
  try: (args) =>
    args.find(({ data }) => !(isUnknown(data) && data.isFailure)) ?? failure('no argument of try works'),
  can: ([arg]) => {
    const inner = arg === undefined ? new Unknown('nothing', true) : firstUnknown(arg);
    if (inner === null) return makeValue(true);
    return inner.isFailure ? makeValue(false) : makeValue(inner);
  },
  merge: (args) => {
    const merged = new Map<string, Value>();
    for (const { data, steps } of args) {
      if (data === null) continue;
      if (isUnknown(data)) return makeValue(data, null, steps);
      if (!isMap(data)) return failure('merge is called with a value that is no map');
      for (const [key, value] of data) merged.set(key, value);
    }
    return makeValue(merged);
  },
  lookup: ([map, key, fallback]) => {
    if (map === undefined || key === undefined) return failure('lookup needs a map and a key');
    for (const { data, steps } of [map, key]) if (isUnknown(data)) return makeValue(data, null, steps);
    const name = asText(key.data);
    if (!isMap(map.data) || name === null) return failure('lookup is called with the wrong types');
    const found = map.data.get(name);
    return found ?? fallback ?? failure(`there is no key "${name}"`);
  },
  coalesce: (args) => firstOf(args, (data) => data !== null && data !== ''),
  coalescelist: (args) => firstOf(args, (data) => isList(data) && data.length > 0),
  nonsensitive: pass,
  sensitive: pass,
  ephemeralasnull: () => makeValue(null),
  element: ([list, at]) => {
    if (list === undefined || at === undefined) return failure('element needs a list and an index');
    if (isUnknown(list.data)) return list;
    const index = asNumber(at.data);
    if (!isList(list.data) || list.data.length === 0) return failure('element is called with no elements');
    if (index === null)
      return allSame(list.data) ?? (isUnknown(at.data) ? at : failure('the index is no number'));
    return list.data[((index % list.data.length) + list.data.length) % list.data.length]!;
  },
  concat: (args) => {
    const items: Value[] = [];
    for (const { data, steps } of args) {
      if (isUnknown(data)) return makeValue(data, null, steps);
      if (!isList(data)) return failure('concat is called with a value that is no list');
      if (items.length + data.length > MAX_ELEMENTS) return TOO_LONG;
      for (const item of data) items.push(item);
    }
    return makeValue(items);
  },
  length: ([arg]) => {
    const data = arg?.data ?? null;
    if (isUnknown(data)) return arg!;
    if (isList(data)) return makeValue(data.length, null, arg!.steps);
    if (isMap(data)) return makeValue(data.size, null, arg!.steps);
    return typeof data === 'string'
      ? makeValue([...data].length, null, arg!.steps)
      : failure('length of no collection');
  },
  keys: ([arg]) => overMap(arg, (map) => [...map.keys()].sort().map((key) => makeValue(key))),
  values: ([arg]) => overMap(arg, (map) => [...map.keys()].sort().map((key) => map.get(key)!)),
  flatten: ([arg]) => (arg === undefined ? failure('flatten of nothing') : flatten(arg)),
  compact: ([arg]) => overList(arg, (items) => items.filter(({ data }) => data !== '' && data !== null)),
  tolist: ([arg]) => overList(arg, (items) => items),
  toset: ([arg]) => overList(arg, distinct),
  distinct: ([arg]) => overList(arg, distinct),
  reverse: ([arg]) => overList(arg, (items) => [...items].reverse()),
  one: ([arg]) => {
    const data = arg?.data ?? null;
    if (isUnknown(data)) return arg!;
    if (!isList(data) || data.length > 1) return failure('one is called with more than one element');
    return data[0] ?? makeValue(null);
  },
  tomap: pass,
  tobool: ([arg]) => convert(arg, asBoolean, 'bool'),
  tonumber: ([arg]) => convert(arg, asNumber, 'number'),
  tostring: ([arg]) => convert(arg, asText, 'string'),
  jsonencode: ([arg]) =>
    arg === undefined ? failure('jsonencode of nothing') : { ...toJson(arg), steps: arg.steps },
  contains: ([list, wanted]) => {
    if (list === undefined || wanted === undefined) return failure('contains needs a list and a value');
    if (isUnknown(list.data)) return list;
    if (!isList(list.data)) return failure('contains is called with no list');
    const answers = list.data.map(({ data }) => isEqual(data, wanted.data));
    if (answers.includes(true)) return makeValue(true);
    return answers.includes(null) ? makeValue(new Unknown('an element is not known')) : makeValue(false);
  },
};

function pass([arg]: readonly Value[]): Value {
  return arg ?? failure('an argument is missing');
}

function firstOf(args: readonly Value[], wanted: (data: Data) => boolean): Value {
  return args.find(({ data }) => isUnknown(data) || wanted(data)) ?? failure('no argument has a value');
}

function allSame(items: readonly Value[]): Value | null {
  const [first, ...others] = items;
  return first !== undefined && others.every(({ data }) => isEqual(data, first.data) === true) ? first : null;
}

function overMap(arg: Value | undefined, make: (map: ReadonlyMap<string, Value>) => Value[]): Value {
  const data = arg?.data ?? null;
  if (isUnknown(data)) return arg!;
  return isMap(data) ? makeValue(make(data)) : failure('the value is no map');
}

function overList(arg: Value | undefined, make: (items: readonly Value[]) => readonly Value[]): Value {
  const data = arg?.data ?? null;
  if (isUnknown(data)) return arg!;
  return isList(data) ? makeValue(make(data)) : failure('the value is no list');
}

function distinct(items: readonly Value[]): Value[] {
  const kept: Value[] = [];
  const seen = new Set<Data>();
  for (const item of items) {
    const isSimple = !isList(item.data) && !isMap(item.data) && !isUnknown(item.data);
    if (isSimple ? seen.has(item.data) : kept.some(({ data }) => isEqual(data, item.data) === true)) continue;
    seen.add(item.data);
    kept.push(item);
  }
  return kept;
}

function flatten(value: Value, depth = 0): Value {
  if (isUnknown(value.data)) return value;
  if (!isList(value.data)) return failure('flatten is called with no list');
  const items: Value[] = [];
  for (const item of value.data) {
    if (isUnknown(item.data)) return item;
    const inner = isList(item.data) && depth < 32 ? flatten(item, depth + 1).data : null;
    if (inner !== null && isUnknown(inner)) return makeValue(inner);
    if (inner === null || !isList(inner)) items.push(item);
    else for (const one of inner) items.push(one);
    if (items.length > MAX_ELEMENTS) return TOO_LONG;
  }
  return makeValue(items);
}

function convert(
  arg: Value | undefined,
  to: (data: Data) => string | number | boolean | null,
  type: string,
): Value {
  const data = arg?.data ?? null;
  if (isUnknown(data) || data === null) return arg ?? makeValue(null);
  const converted = to(data);
  return converted === null
    ? failure(`the value cannot be converted to ${type}`)
    : { ...arg!, data: converted };
}

/** Functions of known arguments. */
const STRICT: Record<string, Call> = {
  lower: ([arg]) => onText(arg, (text) => text.toLowerCase()),
  upper: ([arg]) => onText(arg, (text) => text.toUpperCase()),
  title: ([arg]) => onText(arg, (text) => text.replace(/\b\p{L}/gu, (letter) => letter.toUpperCase())),
  trimspace: ([arg]) => onText(arg, (text) => text.trim()),
  chomp: ([arg]) => onText(arg, (text) => text.replace(/[\r\n]+$/, '')),
  base64encode: ([arg]) => onText(arg, (text) => Buffer.from(text).toString('base64')),
  base64decode: ([arg]) => onText(arg, (text) => Buffer.from(text, 'base64').toString('utf8')),
  replace: ([arg, from, to]) => {
    const pattern = asText(from?.data ?? null);
    const by = asText(to?.data ?? null);
    // Patterns in slashes are RE2 expressions, which are not run on untrusted text.
    if (pattern === null || by === null || /^\/.*\/$/s.test(pattern))
      return makeValue(new Unknown('replace with a pattern is not computed'));
    const longest = (asText(arg?.data ?? null)?.length ?? 0) * (by.length + 1);
    return longest > MAX_TEXT ? TOO_LONG : onText(arg, (text) => text.replaceAll(pattern, () => by));
  },
  startswith: ([arg, part]) => onTexts(arg, part, (text, start) => text.startsWith(start)),
  endswith: ([arg, part]) => onTexts(arg, part, (text, end) => text.endsWith(end)),
  strcontains: ([arg, part]) => onTexts(arg, part, (text, inner) => text.includes(inner)),
  join: ([separator, list]) => {
    const by = asText(separator?.data ?? null);
    if (by === null || list === undefined || !isList(list.data))
      return failure('join is called with the wrong types');
    const inner = firstUnknown(list);
    if (inner !== null) return makeValue(inner);
    let text = '';
    for (const [at, { data }] of list.data.entries()) {
      text += (at === 0 ? '' : by) + (asText(data) ?? '');
      if (text.length > MAX_TEXT) return TOO_LONG;
    }
    return makeValue(text);
  },
  split: ([separator, text]) => {
    const by = asText(separator?.data ?? null);
    const whole = asText(text?.data ?? null);
    if (by === null || whole === null) return failure('split is called with the wrong types');
    return makeValue(whole.split(by).map((part) => makeValue(part)));
  },
  format: ([pattern, ...rest]) => format(asText(pattern?.data ?? null), rest),
  jsondecode: ([arg]) => {
    const text = asText(arg?.data ?? null);
    try {
      return text === null ? failure('jsondecode of no text') : fromJson(JSON.parse(text));
    } catch {
      return failure('jsondecode of a text that is no JSON');
    }
  },
  zipmap: ([keys, values]) => {
    if (keys === undefined || values === undefined || !isList(keys.data) || !isList(values.data))
      return failure('zipmap is called with the wrong types');
    const items = values.data;
    return makeValue(
      new Map(keys.data.map((key, at) => [asText(key.data) ?? '', items[at] ?? makeValue(null)])),
    );
  },
  range: (args) => {
    const [first, second, third] = args.map(({ data }) => asNumber(data));
    const [from, to] = second == null ? [0, first ?? 0] : [first ?? 0, second];
    const step = third ?? (to < from ? -1 : 1);
    const count = step === 0 ? 0 : Math.min(Math.max(Math.ceil((to - from) / step), 0), 1024);
    return makeValue(Array.from({ length: count }, (_, at) => makeValue(from + at * step)));
  },
  max: (args) => onNumbers(args, Math.max),
  min: (args) => onNumbers(args, Math.min),
  alltrue: ([arg]) => overBooleans(arg, (all) => all.every((one) => one === true)),
  anytrue: ([arg]) => overBooleans(arg, (all) => all.includes(true)),
};

function onText(arg: Value | undefined, make: (text: string) => string): Value {
  const text = asText(arg?.data ?? null);
  return text === null ? failure('the argument is no text') : makeValue(make(text), null, arg!.steps);
}

function onTexts(
  one: Value | undefined,
  other: Value | undefined,
  judge: (a: string, b: string) => boolean,
): Value {
  const [text, part] = [asText(one?.data ?? null), asText(other?.data ?? null)];
  return text === null || part === null ? failure('an argument is no text') : makeValue(judge(text, part));
}

function onNumbers(args: readonly Value[], pick: (...numbers: number[]) => number): Value {
  const numbers = args.map(({ data }) => asNumber(data));
  if (numbers.length === 0 || numbers.includes(null)) return failure('an argument is no number');
  return makeValue(pick(...(numbers as number[])));
}

function overBooleans(arg: Value | undefined, judge: (all: (boolean | null)[]) => boolean): Value {
  if (arg === undefined || !isList(arg.data)) return failure('the value is no list');
  const inner = firstUnknown(arg);
  return inner === null ? makeValue(judge(arg.data.map(({ data }) => asBoolean(data)))) : makeValue(inner);
}

function format(pattern: string | null, args: readonly Value[]): Value {
  if (pattern === null || !/^(?:[^%]|%%|%[svd])*$/.test(pattern))
    return makeValue(new Unknown('this format is not computed'));
  let at = 0;
  return makeValue(
    pattern.replace(/%(.)/g, (_, verb: string) =>
      verb === '%' ? '%' : (asText(args[at++]?.data ?? null) ?? ''),
    ),
  );
}
