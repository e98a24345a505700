/** Describes what `--help` ends a command with: the text for people, and the same as values, for manual pages and completion. */

export interface OptionDescription {
  /** Key in a configuration file: `spool_dir`. */
  key: string;
  /** Without its dashes: `spool-dir`. */
  flag: string;
  /** The flag's one-letter form. */
  letter: string | null;
  /** The environment's name for it: `IMDSWATCH_SPOOL_DIR`. */
  environment: string;
  kind: 'boolean' | 'number' | 'array' | 'string';
  /** The only values there are; empty when anything goes. */
  choices: readonly string[];
  /** Range of a number; a missing bound is null. */
  range: { least: number | null; most: number | null };
  text: string;
  /** Default as a flag takes it; null when there is none to mention. */
  fallback: string | null;
}

export interface CommandDescription {
  /** Name as typed: `watch`, `token create`. */
  command: string;
  /** A sentence; of a command with verbs its usage as a whole. */
  summary: string;
  /** `['FILE']`; in brackets what may be left out. */
  positionals: readonly string[];
  options: readonly OptionDescription[];
  /** Verbs of a command such as `token`, which has options only together with one of them: `create`, `list`. */
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

/** The same for a command that has only verbs. */
export function verbsHelp(command: string, usage: string, verbs: readonly string[]): HelpRequested {
  return new HelpRequested(usage, { command, summary: usage, positionals: [], options: [], verbs });
}
