/** Makes the completion of the command line for bash, zsh and fish. */
import type { CommandDescription, OptionDescription } from '../cli/settings/help_requested.ts';
import type { DescribedCommand } from './commands.ts';

/** The part of an option that completion needs. */
type Option = Pick<OptionDescription, 'key' | 'letter' | 'kind' | 'choices' | 'text'> & { flag: string };

const CONFIG: Option = {
  ...{ key: 'config', flag: 'config', letter: null, kind: 'string', choices: [] },
  text: 'YAML file with these settings.',
};
const HELP: Option = {
  ...{ key: 'help', flag: 'help', letter: 'h', kind: 'boolean', choices: [] },
  text: 'Print a summary of the options.',
};

interface Form {
  /** `agent`, `token create`. */
  words: string;
  options: Option[];
  takesFile: boolean;
}

function forms(commands: readonly DescribedCommand[]): Form[] {
  const form = ({ command, options, positionals }: CommandDescription): Form => ({
    words: command,
    options: [...options.flatMap((option) => withFlag(option)), CONFIG, HELP],
    takesFile: positionals.some((name) => /FILE|DIRECTORY/.test(name)),
  });
  return commands.flatMap(({ described, verbs }) =>
    verbs.length === 0 ? [form(described)] : verbs.map(form),
  );
}

/** Nothing to complete is there for a secret that only the environment and a file can give. */
function withFlag(option: OptionDescription): Option[] {
  const { flag } = option;
  return flag === null ? [] : [{ ...option, flag }];
}

function withVerbs(commands: readonly DescribedCommand[]): DescribedCommand[] {
  return commands.filter(({ verbs }) => verbs.length > 0);
}

function verbOf({ command }: CommandDescription): string {
  return command.split(' ').at(-1)!;
}

export function bashCompletion(commands: readonly DescribedCommand[]): string {
  const all = forms(commands);
  const values = new Map<string, string>();
  for (const { words, options } of all) {
    for (const { flag, choices } of options) {
      if (choices.length > 0)
        values.set(`"${words} --${flag}"`, `COMPREPLY=($(compgen -W '${choices.join(' ')}' -- "$word"))`);
    }
  }
  const paths = new Set(all.flatMap(({ options }) => options.filter(isPath).map(({ flag }) => `--${flag}`)));
  const flags = all.map(
    ({ words, options }) => `    "${words}") flags='${options.map(({ flag }) => `--${flag}`).join(' ')}' ;;`,
  );
  const verbs = withVerbs(commands).map(
    ({ name, verbs }) =>
      `    ${name}) COMPREPLY=($(compgen -W '${verbs.map(verbOf).join(' ')} --help' -- "$word")); return ;;`,
  );
  const names = withVerbs(commands).map(({ name }) => name);
  return `# bash completion for imdswatch
_imdswatch() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} form=\${COMP_WORDS[1]} flags=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')} --help --version' -- "$word"))
    return
  fi
  if [ "$COMP_CWORD" -eq 2 ]; then
    case $form in
${verbs.join('\n')}
    esac
  fi
  case $form in ${names.join('|')}) form="$form \${COMP_WORDS[2]}" ;; esac
  case "$form $before" in
${[...values].map(([key, action]) => `    ${key}) ${action}; return ;;`).join('\n')}
  esac
  case $before in ${[...paths].join('|')}) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")); return ;; esac
  case $form in
${flags.join('\n')}
  esac
  case $word in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
    *) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -F _imdswatch imdswatch
`;
}

export function zshCompletion(commands: readonly DescribedCommand[]): string {
  const cases = forms(commands).map(({ words, options, takesFile }) => {
    const specs = options.map((option) => {
      const { flag, letter, kind, choices, text } = option;
      const value =
        kind === 'boolean'
          ? ''
          : choices.length > 0
            ? `:value:(${choices.join(' ')})`
            : isPath(option)
              ? ':file:_files'
              : ':value: ';
      const described = `[${zshText(text)}]${value}`;
      return letter === null
        ? `'--${flag}${described}'`
        : `'(-${letter} --${flag})'{-${letter},--${flag}}'${described}'`;
    });
    if (takesFile) specs.push("'*:file:_files'");
    return `    '${words}') _arguments ${specs.join(' \\\n      ')} ;;`;
  });
  const verbs = withVerbs(commands).map(({ name, verbs }) => {
    const rows = verbs.map((verb) => `'${verbOf(verb)}:${zshText(verb.summary)}'`);
    return `    ${name}) if (( CURRENT == 3 )); then choices=(${rows.join(' ')}); _describe verb choices; return; fi; form="$words[2] $words[3]" ;;`;
  });
  return `#compdef imdswatch
_imdswatch() {
  local form=$words[2]
  local -a choices
  if (( CURRENT == 2 )); then
    choices=(
${commands.map(({ name, summary }) => `      '${name}:${zshText(summary)}'`).join('\n')}
    )
    _describe command choices
    return
  fi
  case $form in
${verbs.join('\n')}
  esac
  # _arguments reads the words after the command's own.
  local -i own=\${#\${(z)form}}
  words=("$words[1]" "\${(@)words[own + 2,-1]}")
  (( CURRENT -= own ))
  case $form in
${cases.join('\n')}
  esac
}
_imdswatch "$@"
`;
}

export function fishCompletion(commands: readonly DescribedCommand[]): string {
  const lines = ['# fish completion for imdswatch', 'complete -c imdswatch -f'];
  for (const { name, summary, verbs } of commands) {
    lines.push(`complete -c imdswatch -n __fish_use_subcommand -a ${name} -d ${fishText(summary)}`);
    const all = verbs.map(verbOf).join(' ');
    for (const verb of verbs) {
      const before = `'__fish_seen_subcommand_from ${name}; and not __fish_seen_subcommand_from ${all}'`;
      lines.push(`complete -c imdswatch -n ${before} -a ${verbOf(verb)} -d ${fishText(verb.summary)}`);
    }
  }
  for (const { words, options, takesFile } of forms(commands)) {
    const when = `'${words
      .split(' ')
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join('; and ')}'`;
    for (const option of options) {
      const { flag, letter, kind, choices, text } = option;
      const short = letter === null ? '' : ` -s ${letter}`;
      const value =
        kind === 'boolean'
          ? ''
          : choices.length > 0
            ? ` -x -a '${choices.join(' ')}'`
            : isPath(option)
              ? ' -r -F'
              : ' -x';
      lines.push(`complete -c imdswatch -n ${when}${short} -l ${flag}${value} -d ${fishText(text)}`);
    }
    if (takesFile) lines.push(`complete -c imdswatch -n ${when} -F`);
  }
  return `${lines.join('\n')}\n`;
}

function isPath({ key }: Option): boolean {
  return /(_file|_dir|_socket|^config|^output)$/.test(key);
}

/** Escapes a description that stands in brackets or after a colon, within single quotes. */
function zshText(text: string): string {
  return text.replaceAll(/[[\]:\\]/g, '\\$&').replaceAll("'", "'\\''");
}

function fishText(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
