/**
 * Defines what `--help` throws: a text for people, and a description for manual pages and shell completion.
 */

export interface OptionDescription {
  /** Key in a configuration file: `spool_dir`. */
  key: string;
  /** Flag without its dashes: `spool-dir`. Null for a secret that only the environment and a file can give. */
  flag: string | null;
  /** One-letter form of the flag; null when it has none. */
  letter: string | null;
  /** Name in the environment: `IMDSWATCH_SPOOL_DIR`. */
  environment: string;
  kind: 'boolean' | 'number' | 'array' | 'string';
  /** The allowed values; empty when every value is allowed. */
  choices: readonly string[];
  /** Range of a number; a bound that does not exist is null. */
  range: { least: number | null; most: number | null };
  text: string;
  /** Default in the form that the flag accepts; null when there is no default to show. */
  fallback: string | null;
}

export interface CommandDescription {
  /** Name that the user types: `watch`, `token create`. */
  command: string;
  /** One sentence; for a command with subcommands, its whole usage text. */
  summary: string;
  /** Names of positional arguments: `['FILE']`. A name in brackets is optional. */
  positionals: readonly string[];
  options: readonly OptionDescription[];
  /** Subcommands of a command such as `token`: `create`, `list`. Such a command has no options of its own. */
  verbs: readonly string[];
}

/** Thrown on `--help`; the message is the text to print on stdout. */
export class HelpRequested extends Error {
  readonly described: CommandDescription;

  constructor(text: string, described: CommandDescription) {
    super(text);
    this.described = described;
  }
}

/** Returns the help of a command that has only subcommands. */
export function verbsHelp(command: string, usage: string, verbs: readonly string[]): HelpRequested {
  return new HelpRequested(usage, { command, summary: usage, positionals: [], options: [], verbs });
}
