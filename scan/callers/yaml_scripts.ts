/**
 * Finds the scripts in YAML and JSON: cloud-init, workflows, Kubernetes manifests, task definitions, package.json.
 * A string that runs a client is a script, whatever its key; a list of words is a command.
 */
import {
  isNode,
  isScalar,
  LineCounter,
  type Pair,
  parseAllDocuments,
  type Scalar,
  visit,
  type YAMLSeq,
} from 'yaml';
import { mayHaveAddress } from './address.ts';

export interface EmbeddedScript {
  start: number;
  end: number;
  /** The text from `start` to `end`, with what YAML adds to the script blanked. */
  text: string;
}

/** The parser needs about a second and 100 MB for a megabyte. Larger files are generated. */
const MAX_CHARACTERS = 2_000_000;

/** Returns null if the text is not YAML. */
export function yamlScripts(text: string): EmbeddedScript[] | null {
  if (text.length > MAX_CHARACTERS) return null;
  const scripts: EmbeddedScript[] = [];
  const commands = new Set<unknown>();
  try {
    const documents = parseAllDocuments(text, {
      keepSourceTokens: false,
      logLevel: 'silent',
      uniqueKeys: false,
      lineCounter: new LineCounter(),
    });
    if ('empty' in documents) return [];
    for (const document of documents) {
      // Templates are often no valid YAML. What could be read is used; the caller reads the rest as plain text.
      if (document.errors.length > 0) return null;
      visit(document, {
        Pair: (_key, pair) => {
          const script = ansibleTask(text, pair);
          if (script === null) return;
          scripts.push(script);
          return visit.SKIP;
        },
        Seq: (_key, seq) => {
          const script = commandOf(text, seq);
          if (script === null) return;
          scripts.push(script);
          for (const item of seq.items) commands.add(item);
        },
        Scalar: (key, scalar) => {
          if (key === 'key' || commands.has(scalar)) return;
          const script = scriptOf(text, scalar);
          if (script !== null) scripts.push(script);
        },
      });
    }
  } catch {
    return null; // Nesting that is too deep for the parser.
  }
  return scripts;
}

const ANSIBLE_MODULE = /^(?:[\w.]+\.)?((?:win_)?(?:uri|get_url))$/;

/** `uri:` and `get_url:` of Ansible, as a command of that name with the URL and the headers as its arguments. */
function ansibleTask(text: string, { key, value }: Pair): EmbeddedScript | null {
  if (!isScalar(key) || key.range == null || !isNode(value) || value.range == null) return null;
  const module = ANSIBLE_MODULE.exec(String(key.value))?.[1];
  const [start, keyEnd] = key.range;
  const end = value.range[1];
  const source = text.slice(keyEnd, end);
  if (module === undefined || end <= keyEnd || !mayHaveAddress(source)) return null;
  const name = `${' '.repeat(keyEnd - start - module.length)}${module}`;
  const rest = source.replace(/#[^\n]*|[^\w./:$@%?&=+[\]-]/g, (other) => ' '.repeat(other.length));
  return { start, end, text: `${name}${rest.replace(/^:/, ' ')}` };
}

/** `[curl, -s, "http://…"]`, or the same as a list of lines. Lists whose items are commands are not one. */
function commandOf(text: string, seq: YAMLSeq): EmbeddedScript | null {
  const items = seq.items;
  if (items.length < 2 || items.length > 100 || !items.every((item) => isScalar(item) && item.range != null))
    return null;
  const scalars = items as Scalar[];
  const first = String(scalars[0]!.value);
  if (/\s/.test(first) || !scalars.some(({ value }) => mayHaveAddress(String(value)))) return null;
  if (!/^(?:[\w./-]*\/)?[\w.-]+$/.test(first)) return null;
  const start = scalars[0]!.range![0];
  const end = scalars.at(-1)!.range![1];
  let script = '';
  let at = start;
  for (const scalar of scalars) {
    const [from, to] = scalar.range!;
    script += ' '.repeat(from - at) + oneLine(quoted(text.slice(from, to), scalar));
    at = to;
  }
  return { start, end, text: script };
}

/** A list item with blanks is one word, so it gets quotes where YAML has none: its first and last character. */
function quoted(source: string, scalar: Scalar): string {
  if (scalar.type === 'QUOTE_DOUBLE' || scalar.type === 'QUOTE_SINGLE') return source;
  return source.replace(/[|>][+-]?\d?[^\n]*\n/, (header) => `'${' '.repeat(header.length - 1)}`);
}

function oneLine(source: string): string {
  return source.startsWith("'") || source.startsWith('"') ? source : source.replace(/[\r\n]/g, ' ');
}

function scriptOf(text: string, scalar: Scalar): EmbeddedScript | null {
  const { value, range } = scalar;
  if (typeof value !== 'string' || range == null || !mayHaveAddress(value)) return null;
  const [start, end] = range;
  const source = text.slice(start, end);
  switch (scalar.type) {
    case 'BLOCK_LITERAL':
    case 'BLOCK_FOLDED': {
      const header = source.indexOf('\n') + 1;
      return { start, end, text: ' '.repeat(header) + source.slice(header) };
    }
    case 'QUOTE_DOUBLE':
      return { start, end, text: unescaped(source) };
    case 'QUOTE_SINGLE':
      return { start, end, text: ` ${source.slice(1, -1).replaceAll("''", "' ")} ` };
    default:
      return { start, end, text: source };
  }
}

/** Turns `\"` into `"` and `\n` into a line break, each with a blank before it, so that positions stay. */
function unescaped(source: string): string {
  const inner = source.slice(1, -1).replace(/\\(["\\/nt])/g, (_, char: string) => {
    return char === 'n' ? ' \n' : char === 't' ? '  ' : ` ${char}`;
  });
  return ` ${inner} `;
}
