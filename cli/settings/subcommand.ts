/** Reads the subcommand of a command that works on the collector's files, such as `imdswatch token`. */
import type * as z from 'zod';
import { OperatorError } from '../../common/operator_error.ts';
import { verbsHelp } from './help_requested.ts';
import { COLLECTOR_FILE } from './local_collector.ts';
import { loadSettings } from './settings.ts';

export interface SubcommandOptions<V extends string> {
  /** Name of the command: `token`. */
  command: string;
  /** One sentence for each subcommand. */
  summaries: Readonly<Record<V, string>>;
  /** Help of the command as a whole. */
  usage: string;
  argv: readonly string[];
}

/**
 * Returns the subcommand, and a function that loads its settings from the arguments after it. `positionals`
 * is as in `loadSettings`.
 * @throws HelpRequested, and OperatorError (2) if the subcommand is missing or unknown.
 */
export function readSubcommand<V extends string>({
  command,
  summaries,
  usage,
  argv: [verb = '', ...rest],
}: SubcommandOptions<V>) {
  if (verb === '--help' || verb === '-h') throw verbsHelp(command, usage, Object.keys(summaries));
  if (!isKeyOf(summaries, verb)) {
    const problem =
      verb === ''
        ? `A subcommand is missing after "imdswatch ${command}".`
        : `There is no subcommand "imdswatch ${command} ${verb}".`;
    throw new OperatorError(2, `${problem}\n\n${usage}`);
  }
  const load = <S extends z.ZodObject>(schema: S, positionals: string[] = []) =>
    loadSettings(schema, {
      command: `${command} ${verb}`,
      summary: summaries[verb],
      argv: rest,
      env: process.env,
      shared: COLLECTOR_FILE,
      positionals,
    });
  return { verb, load };
}

function isKeyOf<V extends string>(summaries: Readonly<Record<V, string>>, verb: string): verb is V {
  return Object.hasOwn(summaries, verb);
}
