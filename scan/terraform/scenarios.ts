/**
 * Returns the sets of input values that a root module is computed with. Files that Terraform reads by itself
 * come first, then those of the command line. Where variables without a default remain, each other variable
 * file next to the module is a set of its own: `prod.tfvars` and `environments/dev.tfvars`.
 */
import { basename, join } from 'node:path/posix';
import { attributeOf } from '../hcl/tree.ts';
import type { ReaderContext } from '../reader.ts';
import type { Module } from './module.ts';
import { type GivenValue, readVariableFile, readVariableOption } from './variables.ts';

const MAX_SCENARIOS = 20;
/** Directories next to a module in which variable files are usual. */
const DIRECTORIES = ['config', 'env', 'envs', 'environment', 'environments', 'tfvars', 'vars'];

export function scenariosOf(root: Module, context: ReaderContext): ReadonlyMap<string, GivenValue>[] {
  const { options } = context;
  const base = new Map<string, GivenValue>();
  const beside = context.list(root.directory).filter((path) => isVariableFile(basename(path)));
  for (const path of beside.filter((path) => isAutomatic(basename(path)))) addFile(base, path, context);
  const given = new Map<string, GivenValue>();
  for (const path of options.variableFiles) addFile(given, path, context);
  for (const [name, text] of options.variables) given.set(name, readVariableOption(text));
  for (const [name, value] of given) base.set(name, value);
  const missing = [...root.variables].filter(
    ([name, { block }]) => attributeOf(block, 'default') === undefined && !base.has(name),
  );
  if (missing.length === 0) return [base];
  const others = [
    ...beside.filter((path) => !isAutomatic(basename(path))),
    ...DIRECTORIES.flatMap((name) =>
      context.list(join(root.directory, name)).filter((path) => isVariableFile(basename(path))),
    ),
  ];
  const names = new Set(missing.map(([name]) => name));
  const scenarios = others.slice(0, MAX_SCENARIOS).flatMap((path) => {
    const values = new Map<string, GivenValue>();
    addFile(values, path, context);
    if (![...values.keys()].some((name) => names.has(name))) return [];
    return [new Map([...base, ...values, ...given])];
  });
  return scenarios.length === 0 ? [base] : scenarios;
}

function isVariableFile(name: string): boolean {
  return /\.tfvars(\.json)?$/.test(name);
}

function isAutomatic(name: string): boolean {
  return /^terraform\.tfvars(\.json)?$|\.auto\.tfvars(\.json)?$/.test(name);
}

function addFile(into: Map<string, GivenValue>, path: string, context: ReaderContext): void {
  const file = context.open(path);
  if (file === null) return;
  for (const [name, value] of readVariableFile(file)) into.set(name, value);
}
