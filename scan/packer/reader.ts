/** Reads Packer templates, in HCL and in JSON. */
import { dirname } from 'node:path/posix';
import { declareDocument, placesOf } from '../documents/declare_document.ts';
import { readDocuments } from '../documents/document_reader.ts';
import type { EditTarget } from '../documents/edit_documents.ts';
import { type DocumentNode, entriesOf, entryOf, get, itemsOf, textOf } from '../documents/node.ts';
import { plainValue } from '../documents/plain_values.ts';
import { asText, unknown, type Value, withStep } from '../evaluate/value.ts';
import type { ChangeEffect } from '../finding.ts';
import { loadHclGrammar } from '../hcl/parse.ts';
import { type Block, blocksOf } from '../hcl/tree.ts';
import type { Reader, ReaderContext, ReaderResult } from '../reader.ts';
import type { Declaration, ImageFact } from '../rules/declaration.ts';
import { SILENT } from '../rules/declaration.ts';
import { parseEndpoint, parseHopLimit, parseTokens } from '../rules/parse_settings.ts';
import { findingsOf } from '../rules/report.ts';
import type { SourceFile } from '../source_file.ts';
import { headOf, ModuleInstance } from '../terraform/instance.ts';
import { makeModule } from '../terraform/module.ts';
import { nestedBlocks, readAttribute } from '../terraform/nested.ts';
import { repairTokens } from '../terraform/repair.ts';
import { type GivenValue, readVariableFile } from '../terraform/variables.ts';

/** Builders that launch an instance. */
const BUILDERS = /^amazon-(ebs|ebssurrogate|ebsvolume|instance)$/;
const DOCS =
  'https://developer.hashicorp.com/packer/integrations/hashicorp/amazon/latest/components/builder/ebs';
const EFFECT: ChangeEffect = {
  how: 'nothing_runs',
  text: 'The next build uses it. Nothing that runs is changed.',
  source: DOCS,
};

export const packer: Reader = {
  name: 'packer',
  // Variables stand in files of their own, so all files of a directory belong together.
  takes: ({ name }) => /\.pkr\.(hcl|json)$/.test(name),
  unitOf: dirname,
  prepare: loadHclGrammar,
  read: readHcl,
};

export const packerJson: Reader = {
  name: 'packer-json',
  takes: ({ name, contains }) =>
    name.endsWith('.json') && !name.endsWith('.pkr.json') && contains('"builders"') && contains('amazon-'),
  read: (files) => readDocuments(files, declareBuilders),
};

function readHcl(files: readonly SourceFile[], context: ReaderContext): ReaderResult {
  const first = files[0];
  if (first === undefined) return { findings: [], problems: [], resources: 0 };
  const directory = dirname(first.path);
  const given = new Map(files.map((file) => [file.path, file]));
  const open = (path: string) => given.get(path) ?? context.open(path);
  const module = makeModule(directory, files);
  // Packer writes single locals as blocks of their own.
  for (const { path, body } of module.files) {
    for (const block of blocksOf(body, 'local')) {
      const expression = block.attributes.find(({ name }) => name === 'expression');
      if (expression !== undefined) module.locals.set(block.labels[0] ?? '', { path, attribute: expression });
    }
  }
  const inputs = new Map<string, GivenValue>();
  for (const path of context.list(directory)) {
    const file = /\.auto\.pkrvars\.(hcl|json)$/.test(path) ? context.open(path) : null;
    for (const [name, value] of file === null ? [] : readVariableFile(file)) inputs.set(name, value);
  }
  const instance = new ModuleInstance(module, '', 0, inputs, new Map(), {
    loadModule: () => null,
    moduleDepth: 0,
    steps: context.limits.evaluationSteps,
    missing: [],
    textOf: (path) => open(path)?.text ?? null,
  });
  const declarations = module.files.flatMap(({ path, body }) =>
    blocksOf(body, 'source')
      .filter(({ labels }) => BUILDERS.test(labels[0] ?? ''))
      .flatMap((block) => declareSource(path, block, instance, (other) => open(other)?.text ?? null)),
  );
  const problems = module.files.flatMap(({ path, errors }) => {
    const file = open(path);
    if (errors[0] === undefined || file === null) return [];
    const range = file.range(errors[0].start, errors[0].end);
    return [
      {
        path,
        range,
        message: `Line ${range.start.line} cannot be parsed. The rest of the file was scanned.`,
      },
    ];
  });
  return { findings: findingsOf(declarations, open), problems, resources: declarations.length };
}

function declareSource(
  path: string,
  block: Block,
  instance: ModuleInstance,
  textOf: (path: string) => string | null,
): Declaration[] {
  const scope = instance.scope(path);
  const answer = nestedBlocks(block, 'metadata_options', scope);
  const nested = answer.is === 'present' ? answer.nested[0]! : null;
  const tokens =
    answer.is === 'unknown'
      ? ({ is: 'unknown', reason: answer.reason, place: answer.place, steps: [] } as const)
      : nested === null
        ? SILENT
        : readAttribute(nested.block, 'http_tokens', nested.scope, parseTokens);
  const support = readAttribute(block, 'imds_support', scope, ({ data }) => asText(data));
  const image: ImageFact =
    support.is === 'unknown'
      ? { is: 'unknown', reason: support.reason }
      : support.is === 'said' && support.value === 'v2.0'
        ? { is: 'v2.0', says: 'has ImdsSupport v2.0', place: support.place, source: '' }
        : { is: 'plain', says: 'has no ImdsSupport v2.0', place: support.place };
  const base = {
    type: `packer ${block.labels[0]}`,
    address: `source.${block.labels.join('.')}`,
    instances: 1,
    path,
    whole: { path, start: block.start, end: block.end },
    head: headOf({ path, block }),
    templates: [],
    names: [],
    defaults: null,
    region: '',
    effect: EFFECT,
    elsewhere: [],
    hosts: null,
    containers: null,
    caveat: null,
  };
  const silent = { tokens: SILENT, endpoint: SILENT, hopLimit: SILENT, block: null };
  return [
    {
      ...base,
      kind: 'launcher',
      setting: 'http_tokens',
      image: { is: 'silent' },
      settings:
        nested === null
          ? { ...silent, tokens }
          : {
              tokens,
              endpoint: readAttribute(nested.block, 'http_endpoint', nested.scope, parseEndpoint),
              hopLimit: readAttribute(
                nested.block,
                'http_put_response_hop_limit',
                nested.scope,
                parseHopLimit,
              ),
              block: { path, start: nested.block.start, end: nested.block.bodyStart },
            },
      repair: () =>
        repairTokens({
          path,
          textOf,
          tokens,
          name: 'http_tokens',
          required: '"required"',
          settings: nested?.block ?? null,
          owner: block,
          blockType: 'metadata_options',
        }),
    },
    { ...base, kind: 'image', setting: 'imds_support', image, settings: silent, repair: () => null },
  ];
}

function declareBuilders(root: DocumentNode, target: EditTarget): Declaration[] {
  const evaluate = (node: DocumentNode) =>
    plainValue(target.path, node, (text) => userVariable(text, root, target.path));
  return itemsOf(get(root, 'builders')).flatMap((builder, at): Declaration[] => {
    const type = textOf(get(builder, 'type')) ?? '';
    if (!BUILDERS.test(type)) return [];
    const entry = entryOf(builder, 'type')!;
    const first = entriesOf(builder)[0] ?? entry;
    const support = get(builder, 'imds_support');
    const supports = support === undefined ? null : asText(evaluate(support).data);
    const base = {
      target,
      owner: builder,
      names: {
        path: ['metadata_options'],
        tokens: 'http_tokens',
        endpoint: 'http_endpoint',
        hopLimit: 'http_put_response_hop_limit',
      },
      evaluate,
      type: `packer ${type}`,
      address: `builders.${textOf(get(builder, 'name')) ?? at}`,
      ...placesOf(target.path, first.keyStart, Math.max(entry.value.end - first.keyStart, 1), builder),
      effect: EFFECT,
    };
    const image: ImageFact =
      supports === 'v2.0'
        ? { is: 'v2.0', says: 'has ImdsSupport v2.0', place: null, source: '' }
        : { is: 'plain', says: 'has no ImdsSupport v2.0', place: null };
    const declared = declareDocument(base);
    return [
      declared,
      {
        ...declareDocument({
          ...base,
          kind: 'image',
          image,
          names: { ...base.names, path: ['-'], tokens: 'imds_support' },
        }),
        repair: () => null,
      },
    ];
  });
}

/** Computes `{{user \`name\`}}` from the variables of the template. */
function userVariable(text: string, root: DocumentNode, path: string): Value | null {
  if (!text.includes('{{')) return null;
  const name = /^\{\{\s*user\s+[`"]([^`"]+)[`"]\s*\}\}$/.exec(text)?.[1];
  if (name === undefined) return unknown(`${text.slice(0, 60)} is computed when Packer runs`);
  const variable = entryOf(get(root, 'variables'), name);
  if (variable === undefined || (variable.value.kind === 'scalar' && variable.value.value === null))
    return unknown(`the variable ${name} has no value`);
  const place = { path, start: variable.keyStart, end: variable.value.end };
  return withStep(plainValue(path, variable.value), {
    subject: `variable ${name}`,
    says: 'is set here',
    place,
  });
}
