/**
 * Settings of a command from its configuration file, its environment and its flags, in that order of rising
 * precedence. One zod object schema per command is the only place where a setting is declared: flags, environment
 * names, `--help` and the error messages come from it.
 *
 * key `spool_dir` → flag `--spool-dir`, environment `IMDSWATCH_SPOOL_DIR`, file key `spool_dir`.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import type { YAMLParseError } from 'yaml';
import type * as z from 'zod';
import { OperatorError } from '../../common/operator_error.ts';
import { type CommandDescription, HelpRequested, type OptionDescription } from './help_requested.ts';

export interface CommandLine {
  /** Name as typed: `watch`, `read`. */
  command: string;
  /** One line for `--help`. */
  summary: string;
  argv: string[];
  env: NodeJS.ProcessEnv;
  /** Names of the positional arguments: `['FILE']`. One in brackets at the end may be left out: `['[ID]']`, or come often: `['[FILE...]']`. */
  positionals?: string[];
  /** Flags with one letter: `{ i: 'interface' }`. */
  short?: Record<string, string>;
  /** The configuration file of another command that this command reads too. */
  shared?: SharedFile;
}

/**
 * A configuration file that belongs to another command. Its settings that this command does not have are checked by the
 * schema of their owner and ignored.
 */
export interface SharedFile {
  schema: Schema;
  /** Read where neither --config nor the environment names a file, if it exists. */
  defaultFile: string;
}

type ValueKind = 'boolean' | 'number' | 'array' | 'string';
type Schema = z.ZodObject;
type Field = z.ZodType & {
  def: {
    type: string;
    innerType?: Field;
    in?: Field;
    element?: Field;
    entries?: Record<string, string | number>;
    defaultValue?: unknown;
  };
  minValue?: number | null;
  maxValue?: number | null;
};

/** Reads and validates; throws `OperatorError` (exit code 2) that names the setting, where it came from and its value. */
export function loadSettings<S extends Schema>(
  schema: S,
  commandLine: CommandLine,
): { settings: z.infer<S>; positionals: string[] } {
  const fields = Object.entries(schema.shape) as [string, Field][];
  const { values, positionals } = parseFlags(fields, commandLine);
  if (values['help'] === true) {
    const described = describeCommand(fields, commandLine);
    throw new HelpRequested(helpText(described, commandLine.shared), described);
  }
  const given: Record<string, unknown> = {};
  const origin: Record<string, string> = {};
  const put = (key: string, value: unknown, from: string) => {
    given[key] = value;
    origin[key] = from;
  };

  const { shared } = commandLine;
  const file = configurationFile(values['config'] ?? commandLine.env['IMDSWATCH_CONFIG'], shared);
  if (file !== null) {
    for (const [key, value] of Object.entries(readConfiguration(file))) {
      if (!Object.hasOwn(schema.shape, key)) {
        const owned = shared?.schema.shape[key] as Field | undefined;
        if (owned !== undefined) {
          checkForeign(owned, value, `${file}: ${key}`);
          continue;
        }
        throw new OperatorError(
          2,
          `${file}: there is no setting "${key}" for "imdswatch ${commandLine.command}".`,
        );
      }
      put(key, value, `${file}: ${key}`);
    }
  }
  for (const [key, field] of fields) {
    const name = environmentName(key);
    const text = commandLine.env[name];
    if (text !== undefined && text !== '') put(key, fromText(text, valueKind(field)), name);
  }
  for (const [key, field] of fields) {
    const value = values[flagName(key)];
    if (value === undefined) continue;
    put(key, typeof value === 'string' ? fromText(value, valueKind(field)) : value, `--${flagName(key)}`);
  }

  const result = schema.safeParse(given);
  if (!result.success) throw new OperatorError(2, describeIssues(result.error, schema, origin, given));
  const expected = commandLine.positionals ?? [];
  const required = expected.filter((name) => !name.startsWith('['));
  const most = expected.at(-1)?.endsWith('...]') === true ? Number.POSITIVE_INFINITY : expected.length;
  if (positionals.length < required.length || positionals.length > most) {
    const usage = `imdswatch ${commandLine.command} ${expected.join(' ')}`.trimEnd();
    const surplus = positionals[expected.length];
    throw new OperatorError(
      2,
      surplus === undefined
        ? `${expected[positionals.length]} is missing. Usage: ${usage} [options]`
        : `"${surplus}" is not expected here. Usage: ${usage} [options]`,
    );
  }
  return { settings: result.data as z.infer<S>, positionals };
}

function parseFlags(fields: [string, Field][], { argv, short, command }: CommandLine) {
  const shortOf = new Map(Object.entries(short ?? {}).map(([letter, key]) => [key, letter]));
  const options: Record<string, { type: 'string' | 'boolean'; short?: string }> = {
    help: { type: 'boolean', short: 'h' },
    config: { type: 'string' },
  };
  for (const [key, field] of fields) {
    const letter = shortOf.get(key);
    const type = valueKind(field) === 'boolean' ? 'boolean' : 'string';
    options[flagName(key)] = letter === undefined ? { type } : { type, short: letter };
  }
  try {
    return parseArgs({ args: argv, options, allowPositionals: true, allowNegative: true, strict: true });
  } catch (error) {
    throw new OperatorError(2, `${(error as Error).message} See "imdswatch ${command} --help".`);
  }
}

/** Returns the file to read, or null for none. */
function configurationFile(named: unknown, shared: SharedFile | undefined): string | null {
  if (typeof named === 'string') return named;
  return shared !== undefined && isReadable(shared.defaultFile) ? shared.defaultFile : null;
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false; // Somebody who may not read the collector's file uses flags, the environment and defaults.
  }
}

/** Throws for a value that the owner of the file would refuse too. */
function checkForeign(field: Field, value: unknown, where: string): void {
  const result = field.safeParse(value);
  if (result.success) return;
  const isSecret = metaOf(field)['secret'] === true;
  const shown = isSecret ? '' : ` is ${JSON.stringify(value)}`;
  throw new OperatorError(2, `${where}${shown}: ${result.error.issues[0]?.message ?? 'not valid'}.`);
}

function readConfiguration(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new OperatorError(2, `The configuration file ${file} cannot be read: ${(error as Error).message}.`);
  }
  let document: unknown;
  // Loaded only here: most commands run without a file, and the parser would stay resident for nothing.
  const { parse } = createRequire(import.meta.url)('yaml') as typeof import('yaml');
  try {
    document = parse(text, { prettyErrors: true, logLevel: 'error' });
  } catch (error) {
    // The parser's own words quote the file, which may hold a secret: only where it is and of which kind.
    const { code, name, linePos } = error as Partial<YAMLParseError> & Error;
    const where = linePos === undefined ? '' : ` at line ${linePos[0].line}, column ${linePos[0].col}`;
    throw new OperatorError(2, `The configuration file ${file} is not valid YAML${where} (${code ?? name}).`);
  }
  if (document === null || document === undefined) return {};
  if (typeof document !== 'object' || Array.isArray(document)) {
    throw new OperatorError(2, `The configuration file ${file} must hold "setting: value" lines.`);
  }
  return document as Record<string, unknown>;
}

function describeIssues(
  error: z.ZodError,
  schema: Schema,
  origin: Record<string, string>,
  given: Record<string, unknown>,
): string {
  return error.issues
    .map((issue) => {
      const key = String(issue.path[0] ?? '');
      const field = schema.shape[key] as Field | undefined;
      const where = origin[key] ?? `--${flagName(key)} (or ${environmentName(key)})`;
      const isSecret = field !== undefined && metaOf(field)['secret'] === true;
      const value = key in given && !isSecret ? ` is ${JSON.stringify(given[key])}` : '';
      return `${where}${value}: ${issue.message}.`;
    })
    .join('\n');
}

function describeCommand(fields: [string, Field][], commandLine: CommandLine): CommandDescription {
  const { command, summary, positionals = [], short } = commandLine;
  const letterOf = new Map(Object.entries(short ?? {}).map(([letter, key]) => [key, letter]));
  const options = fields.map(([key, field]): OptionDescription => {
    const fallback = defaultOf(field);
    const isNothing = fallback === undefined || fallback === false || String(fallback) === '';
    return {
      key,
      flag: flagName(key),
      letter: letterOf.get(key) ?? null,
      environment: environmentName(key),
      kind: valueKind(field),
      choices: choicesOf(field),
      range: rangeOf(field),
      text: field.description ?? '',
      fallback: isNothing ? null : String(fallback),
    };
  });
  return { command, summary, positionals, options, verbs: [] };
}

function helpText(
  { command, summary, positionals, options }: CommandDescription,
  shared: SharedFile | undefined,
): string {
  const rows = options.map(({ flag, letter, environment, kind, text, fallback }) => ({
    flag: `${letter ? `-${letter}, ` : ''}--${flag}${kind === 'boolean' ? '' : ' VALUE'}`,
    text: `${text}${fallback === null ? '' : ` (default: ${fallback})`}`,
    env: environment,
  }));
  const file =
    shared === undefined
      ? 'YAML file with these settings.'
      : `The collector's configuration file. (default: ${shared.defaultFile} where it can be read)`;
  rows.push({ flag: '--config FILE', text: file, env: 'IMDSWATCH_CONFIG' });
  const usage = ['imdswatch', command, ...positionals, '[options]'].filter(Boolean).join(' ');
  const lines = rows.map(({ flag, text, env }) => `  ${flag}\n      ${text} [${env}]`);
  return `${summary}\n\nUsage: ${usage}\n\nOptions:\n${lines.join('\n')}\n  -h, --help\n`;
}

function fromText(text: string, kind: ValueKind): unknown {
  switch (kind) {
    case 'boolean':
      if (/^(1|true|yes|on)$/i.test(text)) return true;
      if (/^(0|false|no|off)$/i.test(text)) return false;
      return text;
    case 'number':
      return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);
    case 'array':
      return text.split(',').map((item) => item.trim());
    case 'string':
      return text;
  }
}

function valueKind(field: Field): ValueKind {
  const { type } = innermost(field).def;
  return type === 'boolean' || type === 'number' || type === 'array' ? type : 'string';
}

function innermost(field: Field): Field {
  const inner = field.def.innerType ?? field.def.in;
  return inner === undefined ? field : innermost(inner);
}

/** For an array, returns the choices of its elements. */
function choicesOf(field: Field): readonly string[] {
  const { def } = innermost(field);
  if (def.type === 'enum') return Object.values(def.entries ?? {}).map(String);
  return def.type === 'array' && def.element !== undefined ? choicesOf(def.element) : [];
}

function rangeOf(field: Field): OptionDescription['range'] {
  const { minValue, maxValue } = innermost(field);
  // The bounds of safe integers, which zod gives where there are no others, say nothing to anybody.
  const bound = (value: number | null | undefined) =>
    value == null || Math.abs(value) >= Number.MAX_SAFE_INTEGER ? null : value;
  return { least: bound(minValue), most: bound(maxValue) };
}

function defaultOf(field: Field): unknown {
  if (field.def.defaultValue !== undefined) return field.def.defaultValue;
  return field.def.innerType === undefined ? undefined : defaultOf(field.def.innerType);
}

function metaOf(field: Field): Record<string, unknown> {
  const own = (field.meta?.() ?? {}) as Record<string, unknown>;
  return field.def.innerType === undefined ? own : { ...metaOf(field.def.innerType), ...own };
}

function flagName(key: string): string {
  return key.replaceAll('_', '-');
}

function environmentName(key: string): string {
  return `IMDSWATCH_${key.toUpperCase()}`;
}
