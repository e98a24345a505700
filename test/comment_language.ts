/**
 * Lists comment lines that begin like a riddle ("What is …", "Whether …") instead of with a subject and a verb, as
 * docs say in CONTRIBUTING.md. Exits with 1 where it finds one. `npm run check` runs it.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A sentence that begins with one of these and ends with a question mark is a question, and is allowed. */
const BANNED = /^(What|Of|Whether|How|Where|As|Who|Whose)\b(?! if )/;
const COMMENT = /^\s*(?:\/\/|\/\*\*?|\*(?!\/))\s?(.*?)(?:\s*\*\/)?\s*$/;
const SHELL_COMMENT = /^\s*#(?!!)\s?(.*)$/;

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  encoding: 'utf8',
})
  .split('\n')
  .filter(
    (file) => /\.(ts|tsx|mjs|cjs|c|h|css|sh|py|service|yaml)$/.test(file) || /^(bin|setup)\/\w+$/.test(file),
  );

let found = 0;
for (const file of files) {
  const pattern = /\.(sh|py|service|yaml)$/.test(file) || !file.includes('.') ? SHELL_COMMENT : COMMENT;
  let before = '';
  for (const [index, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    const text = pattern.exec(line)?.[1] ?? null;
    // A line that goes on with a sentence of the line before it may begin with any word.
    const begins = text !== null && (before === '' || /[.:;!?]$|^[-*|#]/.test(before));
    if (begins && BANNED.test(text) && !/\?/.test(text)) {
      console.log(`${file}:${index + 1}: ${text}`);
      found += 1;
    }
    before = text ?? '';
  }
}
if (found > 0)
  console.error(`${found} comment lines do not begin with a subject and a verb (see CONTRIBUTING.md)`);
process.exitCode = found === 0 ? 0 : 1;
