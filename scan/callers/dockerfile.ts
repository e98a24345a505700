/**
 * Rewrites a Dockerfile so that its commands read as shell: same length, same positions. Source: Dockerfile
 * reference, "Format", "Shell and exec form", "Here-documents".
 */

const INSTRUCTION = /^([ \t]*)([A-Za-z]+)([ \t]+|$)/;
/** Options that stand before the command: `RUN --mount=…`, `HEALTHCHECK --interval=5s CMD …`. */
const FLAGS = /^(?:--[\w-]+(?:=\S*)?[ \t]+)+/;

/** Returns the text with everything blanked that is no command and no variable. */
export function dockerfileAsShell(text: string): string {
  const lines = text.split('\n');
  const output: string[] = [];
  let continues = false;
  let keeps = false;
  let here: string[] = [];
  const escapeCharacter = /^#\s*escape\s*=\s*`/im.test(text.slice(0, 500)) ? '`' : '\\';
  for (const line of lines) {
    if (here.length > 0) {
      output.push(keeps ? line : blank(line));
      if (line.trim() === here[0]) here.shift();
      continue;
    }
    // A comment line inside a continued instruction is left out of it, and does not end it.
    if (/^\s*#/.test(line)) {
      output.push(continues ? continuation(line) : blank(line));
      continue;
    }
    let shown = line;
    if (!continues) {
      const instruction = rewrite(line);
      shown = instruction.text;
      keeps = instruction.keeps;
    } else if (!keeps) shown = blank(line);
    else if (line.trim() === '') shown = continuation(line);
    continues = line.trimEnd().endsWith(escapeCharacter);
    if (continues && escapeCharacter === '`') shown = shown.replace(/`([ \t]*\r?)$/, '\\$1');
    if (continues)
      shown = shown.replace(/\\([ \t]+)(\r?)$/, (_, blanks: string, cr: string) => `${blanks}\\${cr}`);
    here = [...line.matchAll(/<<-?\s*["']?([A-Za-z_][\w.-]*)["']?/g)].map((match) => match[1]!).slice(0, 10);
    output.push(shown);
  }
  return output.join('\n');
}

/** A line of blanks that the shell reads as continued. */
function continuation(line: string): string {
  const body = line.endsWith('\r') ? line.slice(0, -1) : line;
  if (body.length === 0) return line;
  return `${' '.repeat(body.length - 1)}\\${line.slice(body.length)}`;
}

function rewrite(line: string): { text: string; keeps: boolean } {
  const match = INSTRUCTION.exec(line);
  if (match === null) return { text: line, keeps: true };
  const name = match[2]!.toUpperCase();
  let prefix = match[0].length;
  let rest = line.slice(prefix);
  switch (name) {
    case 'RUN':
    case 'CMD':
    case 'ENTRYPOINT':
    case 'SHELL':
    case 'HEALTHCHECK':
    case 'ONBUILD': {
      const flags = FLAGS.exec(rest)?.[0].length ?? 0;
      prefix += flags;
      rest = rest.slice(flags);
      if (name === 'ONBUILD' || (name === 'HEALTHCHECK' && /^CMD\b/i.test(rest))) {
        const inner = rewrite(rest);
        return { text: ' '.repeat(prefix) + inner.text, keeps: inner.keeps };
      }
      return { text: ' '.repeat(prefix) + (/^\s*\[/.test(rest) ? execForm(rest) : rest), keeps: true };
    }
    case 'ENV':
      // `ENV NAME value` is the old form of `ENV NAME=value`.
      return { text: ' '.repeat(prefix) + rest.replace(/^(\w+)[ \t](?=[^=]*$)/, '$1='), keeps: true };
    case 'ARG':
      return { text: ' '.repeat(prefix) + rest, keeps: true };
    case 'ADD':
      // ADD fetches URLs. The shell's word for that has as many letters.
      return { text: line.replace(/ADD[ \t]|ADD$/i, (add) => `GET${add.slice(3)}`), keeps: true };
    case 'COPY':
      // `COPY <<EOF /path` writes a file, which is often a script.
      return {
        text: rest.includes('<<') ? line.replace(/COPY/i, 'cat ') : blank(line),
        keeps: rest.includes('<<'),
      };
    default:
      return { text: blank(line), keeps: false };
  }
}

/** `["curl", "http://…"]` without its brackets and commas. */
function execForm(text: string): string {
  return text
    .replace(/^(\s*)\[/, '$1 ')
    .replace(/\](\s*)$/, ' $1')
    .replace(/"(\s*),/g, '"$1 ');
}

function blank(line: string): string {
  return line.replace(/[^\r]/g, ' ');
}
