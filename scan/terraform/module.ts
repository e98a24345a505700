/** Loads the files of a Terraform or OpenTofu module: one directory. */
import { parseHcl } from '../hcl/parse.ts';
import { parseHclJson } from '../hcl/parse_json.ts';
import type { Attribute, Block, Expression, HclFile } from '../hcl/tree.ts';
import { attributeOf } from '../hcl/tree.ts';
import type { SourceFile } from '../source_file.ts';

/** A block with the file that it stands in. */
export interface PlacedBlock {
  path: string;
  block: Block;
}

export interface PlacedAttribute {
  path: string;
  attribute: Attribute;
}

export interface Module {
  /** Path of the directory; '.' for the working directory. */
  directory: string;
  files: HclFile[];
  variables: Map<string, PlacedBlock>;
  locals: Map<string, PlacedAttribute>;
  outputs: Map<string, PlacedBlock>;
  calls: Map<string, PlacedBlock>;
  /** `type.name` to block. */
  resources: Map<string, PlacedBlock>;
  data: Map<string, PlacedBlock>;
  providers: PlacedBlock[];
}

/** File names of a module, with OpenTofu's own ones. */
export function isTerraformFile(name: string): boolean {
  return /\.(tf|tofu)(\.json)?$/.test(name);
}

/** Parses the files and puts their blocks together, overriding files last, as Terraform does. */
export function makeModule(directory: string, sources: readonly SourceFile[]): Module {
  const names = new Set(sources.map(({ path }) => path));
  const ordered = sources
    // OpenTofu ignores a .tf file next to a .tofu file of the same name.
    .filter(
      ({ path }) => !/\.tf(\.json)?$/.test(path) || !names.has(path.replace(/\.tf(\.json)?$/, '.tofu$1')),
    )
    .toSorted((one, other) => Number(isOverride(one.path)) - Number(isOverride(other.path)));
  const module: Module = {
    directory,
    files: [],
    variables: new Map(),
    locals: new Map(),
    outputs: new Map(),
    calls: new Map(),
    resources: new Map(),
    data: new Map(),
    providers: [],
  };
  for (const { path, text } of ordered) {
    const file = path.endsWith('.json') ? parseHclJson(path, text) : parseHcl(path, text);
    module.files.push(file);
    for (const block of file.body.blocks) addBlock(module, { path, block }, isOverride(path));
  }
  return module;
}

function isOverride(path: string): boolean {
  return /(^|\/|_)override\.(tf|tofu)(\.json)?$/.test(path);
}

function addBlock(module: Module, placed: PlacedBlock, overrides: boolean): void {
  const { block, path } = placed;
  const [first = '', second = ''] = block.labels;
  switch (block.type) {
    case 'variable':
      put(module.variables, first, placed, overrides);
      return;
    case 'output':
      put(module.outputs, first, placed, overrides);
      return;
    case 'module':
      put(module.calls, first, placed, overrides);
      return;
    case 'resource':
      put(module.resources, `${first}.${second}`, placed, overrides);
      return;
    case 'data':
      put(module.data, `${first}.${second}`, placed, overrides);
      return;
    case 'provider':
      module.providers.push(placed);
      return;
    case 'locals':
      for (const attribute of block.attributes) module.locals.set(attribute.name, { path, attribute });
      return;
    default:
  }
}

function put(into: Map<string, PlacedBlock>, key: string, placed: PlacedBlock, overrides: boolean): void {
  const original = into.get(key);
  // The positions of an overriding block belong to another file, so it replaces the block as a whole.
  if (original !== undefined && overrides)
    into.set(key, { path: placed.path, block: overlay(original.block, placed.block) });
  else if (original === undefined) into.set(key, placed);
}

/** Merges as Terraform does: attributes one by one, nested blocks by type. */
function overlay(base: Block, over: Block): Block {
  const attributes = new Set(over.attributes.map(({ name }) => name));
  const types = new Set(over.blocks.map(({ type }) => type));
  return {
    ...over,
    attributes: [...base.attributes.filter(({ name }) => !attributes.has(name)), ...over.attributes],
    blocks: [...base.blocks.filter(({ type }) => !types.has(type)), ...over.blocks],
  };
}

/** Returns the text of an attribute that must be a literal, such as a module's source. */
export function literalOf(block: Block, name: string): string | null {
  const value: Expression | undefined = attributeOf(block, name)?.value;
  return value?.kind === 'literal' && typeof value.value === 'string' ? value.value : null;
}
