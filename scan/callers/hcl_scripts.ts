/**
 * Finds the scripts in Terraform and Packer files: here-documents and strings. Which attribute holds one does not matter: a
 * local value, a variable's default and a provisioner's `inline` are run as well as `user_data`.
 */
import { mayHaveAddress } from './address.ts';
import { lexSource } from './source_lexer.ts';
import type { EmbeddedScript } from './yaml_scripts.ts';

const HERE_DOCUMENT = /<<[-~]?[ \t]*([A-Za-z_][\w-]*)[ \t]*\r?\n/g;
const MAX_HERE_DOCUMENTS = 2000;

export function hclScripts(text: string): EmbeddedScript[] {
  const scripts: EmbeddedScript[] = [];
  // Comments, and strings of one line. A here-document is neither.
  const { code } = lexSource(text, 'hcl');
  const parts: string[] = [];
  let at = 0;
  for (const { start, end } of hereDocuments(text)) {
    const content = text.slice(start, end);
    if (mayHaveAddress(content)) scripts.push({ start, end, text: shellOf(content) });
    parts.push(code.slice(at, start), content.replace(/[^\n]/g, ' '));
    at = end;
  }
  const outside = parts.join('') + code.slice(at);
  for (const { start, end } of lexSource(outside, 'hcl').strings) {
    const content = outside.slice(start, end);
    if (!mayHaveAddress(content)) continue;
    const plain = content.replace(/\\(["\\nt])/g, (_, char: string) =>
      char === 'n' ? ' \n' : char === 't' ? '  ' : ` ${char}`,
    );
    scripts.push({ start, end, text: shellOf(plain) });
  }
  return scripts.sort((a, b) => a.start - b.start);
}

function* hereDocuments(text: string): Generator<{ start: number; end: number }> {
  HERE_DOCUMENT.lastIndex = 0;
  for (let count = 0; count < MAX_HERE_DOCUMENTS; count++) {
    const match = HERE_DOCUMENT.exec(text);
    if (match === null) return;
    const start = match.index + match[0].length;
    const close = new RegExp(String.raw`^[ \t]*${match[1]}[ \t]*\r?$`, 'gm');
    close.lastIndex = start;
    const end = close.exec(text)?.index;
    // Without its end the file is broken, and the parser of Terraform reports it.
    if (end === undefined) return;
    yield { start, end };
    HERE_DOCUMENT.lastIndex = end;
  }
}

/** `$${` is how HCL writes a shell's `${`. */
function shellOf(text: string): string {
  return text.replaceAll('$${', () => ' ${');
}
