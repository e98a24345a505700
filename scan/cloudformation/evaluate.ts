/**
 * Computes values of a CloudFormation template: parameters with defaults, conditions, mappings and the intrinsic
 * functions that occur around instance settings (CloudFormation user guide, "Intrinsic function reference"). Pure.
 */

import { type DocumentNode, entriesOf, entryOf, get, itemsOf, textOf } from '../documents/node.ts';
import {
  asBoolean,
  asNumber,
  asText,
  isEqual,
  isList,
  isUnknown,
  makeValue,
  Reference,
  unknown,
  type Value,
  withStep,
} from '../evaluate/value.ts';

const MAX_DEPTH = 64;

export class TemplateScope {
  readonly path: string;
  readonly #root: DocumentNode;
  readonly #running = new Set<string>();
  #steps: number;

  constructor(path: string, root: DocumentNode, steps: number) {
    this.path = path;
    this.#root = root;
    this.#steps = steps;
  }

  evaluate(node: DocumentNode | undefined, depth = 0): Value {
    if (node === undefined) return makeValue(null);
    this.#steps--;
    if (this.#steps <= 0 || depth > MAX_DEPTH) return unknown('the template takes too many steps to compute');
    const call = callOf(node);
    if (call !== null) return this.#call(call.name, call.argument, depth);
    const place = { path: this.path, start: node.start, end: node.end };
    switch (node.kind) {
      case 'scalar':
        return makeValue(resolved(node.value), node.isBlock ? null : place);
      case 'list':
        return makeValue(
          node.items.map((item) => this.evaluate(item, depth + 1)),
          place,
        );
      case 'map':
        return makeValue(
          new Map(node.entries.map(({ key, value }) => [key, this.evaluate(value, depth + 1)])),
          place,
        );
    }
  }

  /** Returns whether a named condition holds; null when it is not known. */
  condition(name: string): boolean | null {
    const { data } = this.#condition(name, 0);
    return isUnknown(data) ? null : asBoolean(data);
  }

  #condition(name: string, depth: number): Value {
    const entry = entryOf(get(this.#root, 'Conditions'), name);
    if (entry === undefined) return unknown(`condition ${name} is not declared`);
    if (this.#running.has(name)) return unknown(`condition ${name} refers to itself`);
    this.#running.add(name);
    const value = this.evaluate(entry.value, depth + 1);
    this.#running.delete(name);
    const place = { path: this.path, start: entry.keyStart, end: entry.value.end };
    return withStep(value, { subject: `condition ${name}`, says: 'is defined here', place });
  }

  #call(name: string, argument: DocumentNode, depth: number): Value {
    const args = itemsOf(argument);
    const at = (index: number) => this.evaluate(args[index], depth + 1);
    switch (name) {
      case 'Ref':
        return this.#ref(textOf(argument) ?? '');
      case 'GetAtt': {
        const parts = textOf(argument)?.split('.') ?? args.map((part) => textOf(part) ?? '');
        return makeValue(new Reference(parts[0] ?? '', parts.slice(1).join('.')));
      }
      case 'If':
        return this.#if(textOf(args[0]) ?? '', args[1], args[2], depth);
      case 'Condition':
        return this.#condition(textOf(argument) ?? '', depth);
      case 'Equals': {
        const [one, other] = [at(0), at(1)];
        for (const side of [one, other]) if (isUnknown(side.data)) return side;
        const same = isEqual(stringly(one.data), stringly(other.data));
        return same === null
          ? unknown('a part is not known')
          : makeValue(same, null, [...one.steps, ...other.steps]);
      }
      case 'Not': {
        const value = at(0);
        const truth = asBoolean(value.data);
        return isUnknown(value.data) || truth === null ? value : makeValue(!truth, null, value.steps);
      }
      case 'And':
      case 'Or':
        return logic(
          name === 'Or',
          args.map((_, index) => at(index)),
        );
      case 'FindInMap':
        return this.#findInMap(args, depth);
      case 'Sub':
        return this.#sub(argument, depth);
      case 'Join': {
        const list = at(1);
        const separator = asText(at(0).data);
        if (!isList(list.data) || separator === null)
          return isUnknown(list.data) ? list : unknown('Fn::Join of no list');
        let text = '';
        for (const [index, { data, steps }] of list.data.entries()) {
          if (isUnknown(data)) return makeValue(data, null, steps);
          text += (index === 0 ? '' : separator) + (asText(data) ?? '');
        }
        return makeValue(text);
      }
      case 'Select': {
        const index = asNumber(at(0).data);
        const list = at(1);
        if (!isList(list.data)) return isUnknown(list.data) ? list : unknown('Fn::Select of no list');
        return (index === null ? undefined : list.data[index]) ?? unknown('Fn::Select has no such element');
      }
      case 'Split': {
        const [separator, text] = [asText(at(0).data), at(1)];
        const whole = asText(text.data);
        if (whole === null || separator === null)
          return isUnknown(text.data) ? text : unknown('Fn::Split of no text');
        return makeValue(whole.split(separator).map((part) => makeValue(part)));
      }
      case 'Base64':
        return this.evaluate(argument, depth + 1);
      default:
        return unknown(`Fn::${name} is known only when the stack is deployed`);
    }
  }

  #ref(name: string): Value {
    if (name === 'AWS::NoValue') return makeValue(null);
    if (name.startsWith('AWS::')) return unknown(`${name} is known only when the stack is deployed`);
    const parameter = entryOf(get(this.#root, 'Parameters'), name);
    if (parameter !== undefined) {
      const fallback = entryOf(parameter.value, 'Default');
      if (fallback === undefined) return unknown(`parameter ${name} has no default`);
      const place = { path: this.path, start: fallback.keyStart, end: fallback.value.end };
      const isLookedUp = (textOf(get(parameter.value, 'Type')) ?? '').startsWith(
        'AWS::SSM::Parameter::Value',
      );
      const value = this.evaluate(fallback.value, 1);
      const step = { subject: `parameter ${name}`, says: 'has a default', place };
      const text = asText(value.data) ?? '';
      return withStep(isLookedUp ? makeValue(`resolve:ssm:${text}`) : value, step);
    }
    if (entryOf(get(this.#root, 'Resources'), name) !== undefined) return makeValue(new Reference(name, ''));
    return unknown(`${name} is not declared in the template`);
  }

  #if(name: string, yes: DocumentNode | undefined, no: DocumentNode | undefined, depth: number): Value {
    const test = this.#condition(name, depth + 1);
    const truth = isUnknown(test.data) ? null : asBoolean(test.data);
    if (truth !== null) {
      const chosen = this.evaluate(truth ? yes : no, depth + 1);
      return { ...chosen, steps: [...test.steps, ...chosen.steps] };
    }
    const [one, other] = [this.evaluate(yes, depth + 1), this.evaluate(no, depth + 1)];
    if (isEqual(one.data, other.data) === true) return { ...one, literal: null };
    const reason = isUnknown(test.data) ? test.data.reason : 'the condition is neither true nor false';
    return { ...unknown(`condition ${name} is not known: ${reason}`), steps: test.steps };
  }

  #findInMap(args: readonly DocumentNode[], depth: number): Value {
    const keys = args.slice(0, 3).map((arg) => this.evaluate(arg, depth + 1));
    for (const key of keys) {
      if (!isUnknown(key.data)) continue;
      const fallback = get(args[3], 'DefaultValue');
      const all = this.#everyInMap(keys.map(({ data }) => asText(data)));
      if (all !== null) return all;
      return fallback === undefined ? key : this.evaluate(fallback, depth + 1);
    }
    let node = get(this.#root, 'Mappings');
    for (const key of keys) node = get(node, asText(key.data) ?? '');
    if (node === undefined) {
      const fallback = get(args[3], 'DefaultValue');
      return fallback === undefined
        ? unknown('Fn::FindInMap has no such key')
        : this.evaluate(fallback, depth + 1);
    }
    return { ...this.evaluate(node, depth + 1), steps: keys.flatMap(({ steps }) => steps) };
  }

  /** Returns the value where all rows of a mapping that come into question agree. */
  #everyInMap([map, row, column]: readonly (string | null)[]): Value | null {
    if (map == null || column == null || row != null) return null;
    const rows = entriesOf(get(get(this.#root, 'Mappings'), map));
    const values = rows.map(({ value }) => this.evaluate(get(value, column), 1));
    const [first, ...others] = values;
    if (first === undefined || first.data === null) return null;
    return others.every(({ data }) => isEqual(data, first.data) === true)
      ? { ...first, literal: null }
      : null;
  }

  #sub(argument: DocumentNode, depth: number): Value {
    const [pattern, variables] = argument.kind === 'list' ? argument.items : [argument, undefined];
    const text = textOf(pattern) ?? '';
    let result = '';
    let end = 0;
    for (const match of text.matchAll(/\$\{(!?)([^}]*)\}/g)) {
      const [whole, literal, name = ''] = match;
      result += text.slice(end, match.index);
      end = match.index + whole.length;
      if (literal === '!') {
        result += `\${${name}}`;
        continue;
      }
      const own = get(variables, name);
      const [resource = '', ...attribute] = name.split('.');
      const value =
        own !== undefined
          ? this.evaluate(own, depth + 1)
          : attribute.length > 0
            ? makeValue(new Reference(resource, attribute.join('.')))
            : this.#ref(name);
      // A text that is nothing but the reference stays a reference.
      if (whole === text) return value;
      if (isUnknown(value.data)) return value;
      result += asText(value.data) ?? '';
    }
    return makeValue(result + text.slice(end));
  }
}

function logic(decides: boolean, values: readonly Value[]): Value {
  const truths = values.map(({ data }) => asBoolean(data));
  const steps = values.flatMap((value) => value.steps);
  if (truths.includes(decides)) return makeValue(decides, null, steps);
  const open = values.find(({ data }) => isUnknown(data));
  if (open !== undefined) return open;
  return truths.includes(null)
    ? unknown('a condition is neither true nor false')
    : makeValue(!decides, null, steps);
}

/** CloudFormation compares texts, whatever they are written as. */
function stringly(data: Value['data']): Value['data'] {
  return asText(data) ?? data;
}

/** Dynamic references to parameters keep their name, and others are not known. */
function resolved(value: string | number | boolean | null): Value['data'] {
  if (typeof value !== 'string' || !value.startsWith('{{resolve:')) return value;
  return value.slice(2, -2);
}

/** Returns the function that a node calls: `!If`, or a map with the one key `Fn::If`. */
export function callOf(node: DocumentNode): { name: string; argument: DocumentNode } | null {
  if (node.tag !== null) return { name: node.tag.replace(/^Fn::/, ''), argument: { ...node, tag: null } };
  if (node.kind !== 'map' || node.entries.length !== 1) return null;
  const { key, value } = node.entries[0]!;
  if (key === 'Ref' || key === 'Condition') return { name: key, argument: value };
  return key.startsWith('Fn::') ? { name: key.slice(4), argument: value } : null;
}
