/** Reads Terraform and OpenTofu: each directory is a module, and those that no other module calls are roots. */
import { basename, dirname } from 'node:path/posix';
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { Finding, Problem } from '../finding.ts';
import { loadHclGrammar } from '../hcl/parse.ts';
import type { Candidate, Reader, ReaderContext, ReaderResult } from '../reader.ts';
import type { Declaration } from '../rules/declaration.ts';
import { findingsOf } from '../rules/report.ts';
import type { SourceFile } from '../source_file.ts';
import { declareModule } from './declare.ts';
import { type Evaluation, localSource, ModuleInstance } from './instance.ts';
import { isTerraformFile, type Module, makeModule } from './module.ts';
import { scenariosOf } from './scenarios.ts';

export const terraform: Reader = {
  name: 'terraform',
  takes: ({ name, contains }: Candidate) =>
    isTerraformFile(name) || (isUnnamed(name) && contains('resource "aws_') && contains('{')),
  unitOf: (path) => dirname(path),
  broughtIn,
  prepare: loadHclGrammar,
  read,
};

/** Standard input and files without an ending are recognised by their content. */
function isUnnamed(name: string): boolean {
  return !name.includes('.');
}

/** Directories whose calls show a module, and do not replace its own defaults. */
const SHOWS_ONLY = /(^|\/)(examples?|tests?|fixtures)(\/|$)/;

/** A directory that is the source of a module call in the same scan. A plain search finds it, without parsing. */
function broughtIn(paths: readonly string[], { open }: ReaderContext): Set<string> {
  const called = new Set<string>();
  for (const path of paths) {
    const text = open(path)?.text ?? '';
    for (const [, source] of text.matchAll(/\bsource"?\s*[=:]\s*"(\.\.?\/[^"$]*)"/g)) {
      const directory = localSource(dirname(path), {
        type: 'module',
        labels: [],
        start: 0,
        end: 0,
        bodyStart: 0,
        bodyEnd: 0,
        blocks: [],
        syntax: 'native',
        attributes: [
          { name: 'source', value: { kind: 'literal', value: source!, start: 0, end: 0 }, start: 0, end: 0 },
        ],
      });
      if (directory === null || directory === dirname(path)) continue;
      // A published module has users elsewhere, so its defaults count besides what an example sets.
      if (SHOWS_ONLY.test(dirname(path)) && !SHOWS_ONLY.test(directory)) continue;
      called.add(directory);
    }
  }
  return called;
}

/** Modules that were loaded in a scan, since many roots call the same ones. */
const loaded = new WeakMap<ReaderContext, Map<string, Module | null>>();
const MAX_LOADED = 200;

function read(files: readonly SourceFile[], context: ReaderContext): ReaderResult {
  const first = files[0];
  if (first === undefined) return { findings: [], problems: [], resources: 0 };
  const directory = dirname(first.path);
  const root = makeModule(directory, files);
  const given = new Map(files.map((file) => [file.path, file]));
  const open = (path: string) => given.get(path) ?? context.open(path);
  const problems: Problem[] = [];
  const visited = new Set([root]);
  const loadModule = (path: string): Module | null => {
    const module = loadCached(path, context);
    if (module !== null) visited.add(module);
    return module;
  };
  const findings = new Map<string, Finding>();
  let resources = 0;
  for (const inputs of scenariosOf(root, context)) {
    const evaluation: Evaluation = {
      loadModule,
      moduleDepth: context.limits.moduleDepth,
      steps: context.limits.evaluationSteps,
      missing: [],
      textOf: (path) => open(path)?.text ?? null,
    };
    const instance = new ModuleInstance(root, '', 0, inputs, new Map(), evaluation);
    const declarations: Declaration[] = declareModule(instance, (path) => open(path)?.text ?? null);
    resources = Math.max(resources, declarations.length);
    for (const finding of findingsOf(declarations, open)) {
      const key = JSON.stringify([
        finding.rule,
        finding.path,
        finding.range.start.index,
        finding.subject,
        finding.identity,
      ]);
      if (!findings.has(key)) findings.set(key, finding);
    }
    for (const { place, message } of evaluation.missing) {
      const file = open(place.path);
      const known = problems.some((problem) => problem.path === place.path && problem.message === message);
      if (file === null || known) continue;
      problems.push({
        path: place.path,
        range: file.range(place.start, place.end),
        message,
        isHarmless: true,
      });
    }
    if (evaluation.steps <= 0)
      problems.push({
        path: directory,
        message: `The module needs more than ${context.limits.evaluationSteps} steps to compute; some values are unknown.`,
      });
  }
  for (const module of visited) problems.push(...syntaxProblems(module, open));
  return { findings: [...findings.values()], problems, resources };
}

function loadCached(directory: string, context: ReaderContext): Module | null {
  let cache = loaded.get(context);
  if (cache === undefined) {
    cache = new Map();
    loaded.set(context, cache);
  }
  const known = cache.get(directory);
  if (known !== undefined) return known;
  const sources = context
    .list(directory)
    .filter((path) => isTerraformFile(basename(path)))
    .flatMap((path) => context.open(path) ?? []);
  const module = sources.length === 0 ? null : makeModule(directory, sources);
  cache.set(directory, module);
  deleteOldestEntries(cache, MAX_LOADED);
  return module;
}

/** Returns one problem for each file with syntax errors. */
function syntaxProblems(module: Module, open: (path: string) => SourceFile | null): Problem[] {
  return module.files.flatMap(({ path, errors }) => {
    const first = errors[0];
    const file = open(path);
    if (first === undefined || file === null) return [];
    const range = file.range(first.start, first.end);
    const message = `Line ${range.start.line} cannot be parsed. The rest of the file was scanned.`;
    return [{ path, range, message }];
  });
}
