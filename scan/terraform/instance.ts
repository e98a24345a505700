/**
 * A module with its inputs: computes names, finds the modules that it calls, and says which instances each
 * resource makes. A module that is called twice has two of these.
 */
import { join, normalize } from 'node:path/posix';
import { bind, evaluate, type Scope } from '../evaluate/expression.ts';
import {
  asNumber,
  asText,
  isList,
  isMap,
  isUnknown,
  makeValue,
  type Place,
  Reference,
  unknown,
  type Value,
  withStep,
} from '../evaluate/value.ts';
import { attributeOf, type Block } from '../hcl/tree.ts';
import { literalOf, type Module, type PlacedBlock } from './module.ts';
import { isUsedElsewhere } from './shared_values.ts';
import { convertToType, type GivenValue } from './variables.ts';

/** Everything that the instances of one root share. */
export interface Evaluation {
  loadModule(directory: string): Module | null;
  moduleDepth: number;
  /** Steps that are left. */
  steps: number;
  /** Returns the text of a scanned file, or null. */
  textOf(path: string): string | null;
  /** Calls of local modules that could not be followed. */
  missing: { place: Place; message: string }[];
}

/** One instance of a resource or module: its scope with `each` and `count`. */
export interface Expanded {
  key: string | null;
  scope: Scope;
}

/** Locals and outputs that may wait for each other. */
const MAX_REFERENCES = 300;
/** Instances of one block that are computed. The others are like these. */
const MAX_INSTANCES = 100;

export class ModuleInstance {
  readonly module: Module;
  /** `module.web.` or ''. */
  readonly prefix: string;
  readonly depth: number;
  readonly #evaluation: Evaluation;
  readonly #inputs: ReadonlyMap<string, GivenValue>;
  readonly #variables = new Map<string, Value>();
  readonly #locals = new Map<string, Value>();
  readonly #running = new Set<string>();
  #children: Map<string, ModuleInstance[]> | null = null;
  /** Regions of the providers that the caller hands over, by name in this module. */
  readonly #regions: ReadonlyMap<string, string>;

  constructor(
    module: Module,
    prefix: string,
    depth: number,
    inputs: ReadonlyMap<string, GivenValue>,
    regions: ReadonlyMap<string, string>,
    evaluation: Evaluation,
  ) {
    this.module = module;
    this.prefix = prefix;
    this.depth = depth;
    this.#inputs = inputs;
    this.#regions = regions;
    this.#evaluation = evaluation;
  }

  scope(path: string): Scope {
    return {
      path,
      spend: () => {
        this.#evaluation.steps--;
        return this.#evaluation.steps > 0;
      },
      resolve: (names) => this.#resolve(names),
    };
  }

  /** Returns the modules in the scanned code that this one calls, by the name of the call. */
  children(): ReadonlyMap<string, ModuleInstance[]> {
    if (this.#children === null) {
      this.#children = new Map();
      for (const [name, call] of this.module.calls) this.#children.set(name, this.#instancesOf(name, call));
    }
    return this.#children;
  }

  /** Returns the instances that `count` or `for_each` make of a block; [] for none. */
  expand({ path, block }: PlacedBlock): Expanded[] {
    const scope = this.scope(path);
    const count = attributeOf(block, 'count');
    if (count !== undefined) {
      const value = evaluate(count.value, scope);
      const number = asNumber(value.data);
      if (number === null) return [{ key: null, scope: bindCount(scope, unknown('count is not known')) }];
      return Array.from({ length: Math.min(Math.max(number, 0), MAX_INSTANCES) }, (_, at) => ({
        key: String(at),
        scope: bindCount(scope, makeValue(at)),
      }));
    }
    const forEach = attributeOf(block, 'for_each');
    if (forEach === undefined) return [{ key: null, scope }];
    const { data } = evaluate(forEach.value, scope);
    if (isMap(data))
      return [...data]
        .slice(0, MAX_INSTANCES)
        .map(([key, value]) => ({ key, scope: bindEach(scope, makeValue(key), value) }));
    if (isList(data))
      return data
        .slice(0, MAX_INSTANCES)
        .map((value) => ({ key: asText(value.data), scope: bindEach(scope, value, value) }));
    // Chained to the instances of another resource: each of them is known only by its block.
    if (data instanceof Reference)
      return [{ key: null, scope: bindEach(scope, unknown(data.reason), makeValue(data)) }];
    const reason = isUnknown(data) ? data.reason : 'for_each is neither a map nor a set';
    return [{ key: null, scope: bindEach(scope, unknown(reason), unknown(reason)) }];
  }

  /** Returns a name for the account and region that a block works in. */
  regionOf({ path, block }: PlacedBlock): string {
    const own = attributeOf(block, 'region');
    if (own !== undefined) return asText(evaluate(own.value, this.scope(path)).data) ?? '?';
    const provider = attributeOf(block, 'provider')?.value;
    const name =
      provider?.kind === 'attribute' && provider.of.kind === 'name'
        ? `${provider.of.name}.${provider.name}`
        : 'aws';
    return this.#regionOfProvider(name);
  }

  #regionOfProvider(name: string): string {
    const handed = this.#regions.get(name);
    if (handed !== undefined) return handed;
    const alias = name.includes('.') ? name.slice(name.indexOf('.') + 1) : null;
    for (const { path, block } of this.module.providers) {
      if (block.labels[0] !== 'aws' || literalOf(block, 'alias') !== alias) continue;
      const region = attributeOf(block, 'region');
      const value = region === undefined ? null : asText(evaluate(region.value, this.scope(path)).data);
      return value ?? `provider ${name}`;
    }
    return `provider ${name}`;
  }

  #resolve(names: readonly string[]): { value: Value; used: number } {
    const [first = '', second = '', third] = names;
    switch (first) {
      case 'var':
        return { value: this.#variable(second), used: 2 };
      case 'local':
        return { value: this.#local(second), used: 2 };
      case 'module':
        return third === undefined
          ? { value: this.#wholeModule(second), used: 2 }
          : { value: this.#output(second, third), used: 3 };
      case 'data':
        return {
          value: makeValue(new Reference(`${this.prefix}data.${second}.${third ?? ''}`, '')),
          used: Math.min(names.length, 3),
        };
      case 'path':
        return { value: makeValue(this.module.directory), used: 2 };
      case 'each':
      case 'count':
      case 'self':
      case 'terraform':
        return {
          value: unknown(`${names.slice(0, 2).join('.')} is not known here`),
          used: Math.min(names.length, 2),
        };
      default:
    }
    const resource = this.module.resources.get(`${first}.${second}`);
    return resource === undefined
      ? { value: unknown(`${names.slice(0, 2).join('.')} is not in the scanned code`), used: names.length }
      : { value: makeValue(new Reference(`${this.prefix}${first}.${second}`, '')), used: 2 };
  }

  #variable(name: string): Value {
    const known = this.#variables.get(name);
    if (known !== undefined) return known;
    const declared = this.module.variables.get(name);
    if (declared === undefined) return unknown(`var.${name} is not declared`);
    const { path, block } = declared;
    const type = attributeOf(block, 'type')?.value ?? null;
    const fallback = attributeOf(block, 'default');
    const subject = `${this.prefix}var.${name}`;
    const isShared = () => isUsedElsewhere(this.module, `var.${name}`, this.#evaluation.textOf);
    const byDefault = (): Value =>
      fallback === undefined
        ? unknown(`${subject} has no default`)
        : withStep(convertToType(evaluate(fallback.value, this.scope(path)), type, path), {
            subject,
            says: 'has a default',
            place: { path, start: fallback.start, end: fallback.end },
            isShared,
          });
    const given = this.#inputs.get(name);
    let value: Value;
    if (given === undefined) value = byDefault();
    else {
      value = withStep(convertToType(given.value, type, path), {
        subject,
        says: given.says,
        place: given.place,
        isShared,
      });
      const nullable = attributeOf(block, 'nullable')?.value;
      if (value.data === null && nullable?.kind === 'literal' && nullable.value === false)
        value = byDefault();
    }
    this.#variables.set(name, value);
    return value;
  }

  #local(name: string): Value {
    const known = this.#locals.get(name);
    if (known !== undefined) return known;
    const declared = this.module.locals.get(name);
    if (declared === undefined) return unknown(`local.${name} is not declared`);
    if (this.#running.has(name)) return unknown(`local.${name} refers to itself`);
    if (this.#running.size >= MAX_REFERENCES) return unknown('the locals refer to each other too deeply');
    this.#running.add(name);
    const { path, attribute } = declared;
    const place = { path, start: attribute.start, end: attribute.end };
    const value = withStep(evaluate(attribute.value, this.scope(path)), {
      subject: `${this.prefix}local.${name}`,
      says: 'is defined here',
      place,
      isShared: () => isUsedElsewhere(this.module, `local.${name}`, this.#evaluation.textOf),
    });
    this.#running.delete(name);
    this.#locals.set(name, value);
    return value;
  }

  #output(call: string, output: string): Value {
    const instances = this.children().get(call);
    if (instances === undefined) return unknown(`module.${call} is not declared`);
    const block = this.module.calls.get(call)!.block;
    if (attributeOf(block, 'count') !== undefined || attributeOf(block, 'for_each') !== undefined)
      return unknown(`module.${call}.${output} has several values`);
    return instances[0]?.output(output) ?? unknown(`module.${call} is not in the scanned code`);
  }

  #wholeModule(call: string): Value {
    const instances = this.children().get(call) ?? [];
    const values = instances.map((instance) => instance.outputs());
    if (values.length === 0) return unknown(`module.${call} is not in the scanned code`);
    const isKeyed = attributeOf(this.module.calls.get(call)!.block, 'for_each') !== undefined;
    // All instances of a call have the same shape, and references forget instance keys.
    if (!isKeyed) return makeValue(values);
    return makeValue(new Map(instances.map((instance, at) => [instance.key ?? '', values[at]!])));
  }

  key: string | null = null;

  outputs(): Value {
    return makeValue(new Map([...this.module.outputs.keys()].map((name) => [name, this.output(name)])));
  }

  output(name: string): Value {
    const declared = this.module.outputs.get(name);
    const value = declared === undefined ? undefined : attributeOf(declared.block, 'value');
    if (declared === undefined || value === undefined) return unknown(`${this.prefix}${name} is no output`);
    if (this.#running.has(`output ${name}`)) return unknown(`output ${name} refers to itself`);
    this.#running.add(`output ${name}`);
    const result = evaluate(value.value, this.scope(declared.path));
    this.#running.delete(`output ${name}`);
    return result;
  }

  #instancesOf(name: string, call: PlacedBlock): ModuleInstance[] {
    const directory = localSource(this.module.directory, call.block);
    const module =
      directory === null || this.depth >= this.#evaluation.moduleDepth
        ? null
        : this.#evaluation.loadModule(directory);
    if (module === null) {
      if (directory !== null) this.#reportMissing(name, directory, call);
      return [];
    }
    return this.expand(call).map(({ key, scope }) => {
      const inputs = new Map<string, GivenValue>();
      for (const attribute of call.block.attributes) {
        if (MODULE_ARGUMENTS.has(attribute.name)) continue;
        inputs.set(attribute.name, {
          value: lazily(() => evaluate(attribute.value, scope)),
          says: `is set by the call of module.${name}`,
          place: { path: call.path, start: attribute.start, end: attribute.end },
        });
      }
      const child = new ModuleInstance(
        module,
        `${this.prefix}module.${name}.`,
        this.depth + 1,
        inputs,
        this.#regionsFor(call),
        this.#evaluation,
      );
      child.key = key;
      return child;
    });
  }

  #reportMissing(name: string, directory: string, call: PlacedBlock): void {
    const isTooDeep = this.depth >= this.#evaluation.moduleDepth;
    const message = isTooDeep
      ? `Modules call each other more than ${this.#evaluation.moduleDepth} deep; module.${name} is not followed.`
      : `The source of module.${name}, ${directory}, is not in the scanned code, so its resources are not judged.`;
    this.#evaluation.missing.push({ place: headOf(call), message });
  }

  #regionsFor(call: PlacedBlock): Map<string, string> {
    const regions = new Map([['aws', this.#regionOfProvider('aws')]]);
    const providers = attributeOf(call.block, 'providers')?.value;
    if (providers?.kind !== 'object') return regions;
    for (const { key, value } of providers.entries) {
      const inner = nameOf(key);
      const outer = nameOf(value);
      if (inner !== null && outer !== null) regions.set(inner, this.#regionOfProvider(outer));
    }
    return regions;
  }
}

const MODULE_ARGUMENTS = new Set(['source', 'version', 'count', 'for_each', 'providers', 'depends_on']);

/** Computes the value when it is asked for: most inputs never are. */
function lazily(compute: () => Value): Value {
  let value: Value | null = null;
  const get = (): Value => {
    value ??= compute();
    return value;
  };
  return {
    get data() {
      return get().data;
    },
    get literal() {
      return get().literal;
    },
    get steps() {
      return get().steps;
    },
  };
}

function nameOf(expression: { kind: string }): string | null {
  const node = expression as
    | { kind: 'name'; name: string }
    | { kind: 'literal'; value: unknown }
    | { kind: 'attribute'; of: { kind: string; name?: string }; name: string };
  if (node.kind === 'name') return node.name;
  if (node.kind === 'literal') return String(node.value);
  return node.kind === 'attribute' && node.of.kind === 'name' ? `${node.of.name}.${node.name}` : null;
}

/** Returns the directory of a module call with a local source; null for any other source. */
export function localSource(directory: string, call: Block): string | null {
  const source = literalOf(call, 'source');
  return source !== null && /^\.\.?(\/|$)/.test(source)
    ? normalize(join(directory, source)).replace(/\/$/, '')
    : null;
}

function bindCount(scope: Scope, index: Value): Scope {
  return bind(scope, new Map([['count', makeValue(new Map([['index', index]]))]]));
}

function bindEach(scope: Scope, key: Value, value: Value): Scope {
  return bind(
    scope,
    new Map([
      [
        'each',
        makeValue(
          new Map([
            ['key', key],
            ['value', value],
          ]),
        ),
      ],
    ]),
  );
}

/** Returns the place of a block's first line, for findings about the block as a whole. */
export function headOf({ path, block }: PlacedBlock): Place {
  const end = block.syntax === 'native' ? block.bodyStart : Math.min(block.bodyStart, block.end);
  return { path, start: block.start, end: Math.max(block.start, end) };
}
