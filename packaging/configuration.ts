/**
 * Makes /etc/imdswatch/*.yaml: every setting of a command, commented out, with its description and default.
 */
import { stringify } from 'yaml';
import type { CommandDescription, OptionDescription } from '../cli/settings/help_requested.ts';

const LINE_CHARS = 100;

export function configurationFile({ command, summary, options }: CommandDescription): string {
  const head = [
    `Configuration of "imdswatch ${command}". ${summary}`,
    '',
    'Take away the "#" before a setting to change it. Each can be set in the environment too (its name in brackets),',
    `which goes before this file, as a flag goes before both: "imdswatch ${command} --help", imdswatch-${command}(8).`,
    'An upgrade keeps this file as you changed it.',
  ];
  const blocks = options.map((option) => {
    const words = wrap(`${option.text} [${option.environment}]`);
    return [...words.map((line) => `# ${line}`), `#${option.key}: ${exampleOf(option)}`.trimEnd()].join('\n');
  });
  return `${[head.map((line) => `# ${line}`.trimEnd()).join('\n'), ...blocks].join('\n\n')}\n`;
}

/** Returns the default in YAML; an empty text if there is none. */
function exampleOf({ kind, fallback }: OptionDescription): string {
  if (kind === 'boolean') return fallback ?? 'false';
  if (fallback === null) return kind === 'array' ? '[]' : '';
  const value = kind === 'array' ? fallback.split(',') : kind === 'number' ? Number(fallback) : fallback;
  return stringify(value, { collectionStyle: 'flow' }).trim();
}

export function wrap(text: string, width = LINE_CHARS): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
