/**
 * Loads the settings of a command from its configuration file, the environment and its flags. Flags win over
 * the environment, and the environment wins over the file. Each command declares its settings once, in a zod
 * schema: flags, environment names, `--help` and error messages come from it.
 *
 * key `spool_dir` → flag `--spool-dir`, environment `IMDSWATCH_SPOOL_DIR`, file key `spool_dir`.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import type { YAMLParseError } from 'yaml';
import type * as z from 'zod';
import { OperatorError } from '../../common/operator_error.ts';
import { choicesOf, defaultOf, type Field, fromText, metaOf, rangeOf, valueKind } from './field.ts';
import { type CommandDescription, HelpRequested, type OptionDescription } from './help_requested.ts';

export interface CommandLine {
  /** Name that the user types: `watch`, `read`. */
  command: string;
  /** Sentence that begins the output of `--help`. */
  summary: string;
  argv: string[];
  env: NodeJS.ProcessEnv;
  /**
   * Names of the positional arguments: `['FILE']`. A last name in brackets is optional (`['[ID]']`), or may
   * be given any number of times (`['[FILE...]']`).
   */
  positionals?: string[];
  /** One-letter flags: `{ i: 'interface' }`. */
  short?: Record<string, string>;
  /** Configuration file of another command, which this command also reads. */
  shared?: SharedFile;
}

/**
 * A configuration file that belongs to another command. Settings that this command does not have are
 * validated with that command's schema and ignored.
 */
export interface SharedFile {
  schema: Schema;
  /** Read if it exists and neither --config nor the environment names a file. */
  defaultFile: string;
}

type Schema = z.ZodObject;

/**
 * Reads and validates the settings. `given` has the names of those that a flag or the environment gives. Throws `HelpRequested` for --help, and `OperatorError` (exit code 2) that
 * names the setting, its source and its value.
 */
export function loadSettings<S extends Schema>(
  schema: S,
  commandLine: CommandLine,
): { settings: z.infer<S>; positionals: string[]; given: ReadonlySet<string> } {
  const fields = Object.entries(schema.shape) as [string, Field][];
  const { values: flags, positionals } = parseFlags(fields, commandLine);
  if (flags['help'] === true) {
    const described = describeCommand(fields, commandLine);
    throw new HelpRequested(helpText(described, commandLine.shared), described);
  }
  const values: Record<string, unknown> = {};
  const origin: Record<string, string> = {};
  const put = (key: string, value: unknown, from: string) => {
    values[key] = value;
    origin[key] = from;
  };
  const given = new Set<string>();

  const { shared } = commandLine;
  const file = configurationFile(flags['config'] ?? commandLine.env['IMDSWATCH_CONFIG'], shared);
  if (file !== null) {
    for (const [key, value] of Object.entries(readConfiguration(file))) {
      if (!Object.hasOwn(schema.shape, key)) {
        const foreignField = shared?.schema.shape[key] as Field | undefined;
        if (foreignField !== undefined) {
          checkForeign(foreignField, value, `${file}: ${key}`);
          continue;
        }
        throw new OperatorError(
          2,
          `${file}: there is no setting "${key}" for "imdswatch ${commandLine.command}". Correct its name or remove it.`,
        );
      }
      put(key, value, `${file}: ${key}`);
    }
  }
  for (const [key, field] of fields) {
    const name = environmentName(key);
    const text = commandLine.env[name];
    if (text === undefined || text === '') continue;
    put(key, fromText(text, valueKind(field)), name);
    given.add(key);
  }
  for (const [key, field] of fields) {
    const value = flags[flagName(key)];
    if (value === undefined) continue;
    put(key, typeof value === 'string' ? fromText(value, valueKind(field)) : value, `--${flagName(key)}`);
    given.add(key);
  }

  const result = schema.safeParse(values);
  if (!result.success) throw new OperatorError(2, describeIssues(result.error, schema, origin, values));
  const expected = commandLine.positionals ?? [];
  const required = expected.filter((name) => !name.startsWith('['));
  const maxCount = expected.at(-1)?.endsWith('...]') === true ? Number.POSITIVE_INFINITY : expected.length;
  if (positionals.length < required.length || positionals.length > maxCount) {
    const usage = `imdswatch ${commandLine.command} ${expected.join(' ')}`.trimEnd();
    const surplus = positionals[expected.length];
    throw new OperatorError(
      2,
      surplus === undefined
        ? `${expected[positionals.length]} is missing. Usage: ${usage} [options]`
        : `"${surplus}" is not expected here. Usage: ${usage} [options]`,
    );
  }
  return { settings: result.data as z.infer<S>, positionals, given };
}

function parseFlags(fields: [string, Field][], { argv, short, command }: CommandLine) {
  const shortOf = new Map(Object.entries(short ?? {}).map(([letter, key]) => [key, letter]));
  const options: Record<string, { type: 'string' | 'boolean'; short?: string }> = {
    help: { type: 'boolean', short: 'h' },
    config: { type: 'string' },
  };
  for (const [key, field] of fields) {
    if (!isFlag(field)) continue;
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

/** Returns the configuration file to read; null for none. */
function configurationFile(named: unknown, shared: SharedFile | undefined): string | null {
  if (typeof named === 'string') return named;
  return shared !== undefined && isReadable(shared.defaultFile) ? shared.defaultFile : null;
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false; // A user who cannot read the collector's file gets flags, the environment and defaults.
  }
}

/** Throws `OperatorError` for a value that the file's own command would refuse. */
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
    throw new OperatorError(
      2,
      `The configuration file ${file} cannot be read: ${(error as Error).message}. Check its name and permissions.`,
    );
  }
  let document: unknown;
  // The parser is loaded only for a file: most commands run without one, and it would stay in memory.
  const { parse } = createRequire(import.meta.url)('yaml') as typeof import('yaml');
  try {
    document = parse(text, { prettyErrors: true, logLevel: 'error' });
  } catch (error) {
    // The parser's message quotes the file, which may contain a secret. Only the position and the code are
    // shown.
    const { code, name, linePos } = error as Partial<YAMLParseError> & Error;
    const position = linePos === undefined ? '' : ` at line ${linePos[0].line}, column ${linePos[0].col}`;
    throw new OperatorError(
      2,
      `The configuration file ${file} is not valid YAML${position} (${code ?? name}). Correct that line.`,
    );
  }
  if (document === null || document === undefined) return {};
  if (typeof document !== 'object' || Array.isArray(document)) {
    throw new OperatorError(2, `The configuration file ${file} must contain "setting: value" lines.`);
  }
  return document as Record<string, unknown>;
}

function describeIssues(
  error: z.ZodError,
  schema: Schema,
  origin: Record<string, string>,
  values: Record<string, unknown>,
): string {
  return error.issues
    .map((issue) => {
      const key = String(issue.path[0] ?? '');
      const field = schema.shape[key] as Field | undefined;
      const name = environmentName(key);
      const source =
        origin[key] ?? (field !== undefined && !isFlag(field) ? name : `--${flagName(key)} (or ${name})`);
      const isSecret = field !== undefined && metaOf(field)['secret'] === true;
      const value = key in values && !isSecret ? ` is ${JSON.stringify(values[key])}` : '';
      return `${source}${value}: ${issue.message}.`;
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
      flag: isFlag(field) ? flagName(key) : null,
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
  const rows = options.map((option) => ({
    flag: flagText(option),
    text: `${option.text}${allowedText(option)}${option.fallback === null ? '' : ` (default: ${option.fallback})`}`,
    env: option.environment,
  }));
  const file =
    shared === undefined
      ? 'YAML file with these settings.'
      : `The collector's configuration file. (default: ${shared.defaultFile}, if it can be read)`;
  rows.push({ flag: '--config FILE', text: file, env: 'IMDSWATCH_CONFIG' });
  const usage = ['imdswatch', command, ...positionals, '[options]'].filter(Boolean).join(' ');
  const lines = rows.map(({ flag, text, env }) => `  ${flag}\n      ${text} [${env}]`);
  return `${summary}\n\nUsage: ${usage}\n\nOptions:\n${lines.join('\n')}\n  -h, --help\n`;
}

function flagText({ flag, letter, kind, environment }: OptionDescription): string {
  if (flag === null) return `${environment} (no flag)`;
  return `${letter ? `-${letter}, ` : ''}--${flag}${kind === 'boolean' ? '' : ' VALUE'}`;
}

/** A secret that has no flag stays out of the arguments, which every user of a machine can read. */
function isFlag(field: Field): boolean {
  return metaOf(field)['flag'] !== false;
}

/** Returns the sentence that names the allowed values or the range; empty where every value is allowed. */
function allowedText({ choices, range: { least, most } }: OptionDescription): string {
  if (choices.length > 0) return ` Values: ${choices.join(', ')}.`;
  if (least !== null && most !== null) return ` From ${least} to ${most}.`;
  if (least !== null) return ` At least ${least}.`;
  return most === null ? '' : ` At most ${most}.`;
}

function flagName(key: string): string {
  return key.replaceAll('_', '-');
}

function environmentName(key: string): string {
  return `IMDSWATCH_${key.toUpperCase()}`;
}
