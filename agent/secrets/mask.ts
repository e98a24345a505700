/**
 * Masks secrets in command arguments, paths and requests. It masks rather too much than too little: in one
 * argument, everything behind a secret's name is taken for its value. In a shell's code the quotes tell where
 * a value ends.
 */
import { rememberingClean } from './clean_texts.ts';
import {
  ACCESS_KEY_ID,
  FORTY_CHARACTERS,
  LONG_AND_DENSE,
  LOOKS_IN_PATHS,
  SECRET_LETTERS,
  SECRET_LOOKS,
  SECRET_NAME,
} from './mask_names.ts';
import { MASK, maskCutEnd, maskShapes } from './mask_shapes.ts';

export { MASK, maskCutEnd, maskShapes };
/** The arguments of one process are kept up to this many characters in total. */
export const MAX_ARGS_CHARACTERS = 4096;
const CUT = '…';
/** An argument is cut to this before it is masked. */
const MAX_MASKED_CHARACTERS = 16_384;
/** That cut may have split a secret: this many characters before it are dropped too. */
const SPLIT_CHARACTERS = 2048;

/**
 * Matches a secret's name, the rest of that name, a quote that ends it, and the separator before its value.
 * `%3A` and `%3D` are `:` and `=` in a URL.
 */
const NAMED = new RegExp(
  `(?:${SECRET_NAME})([\\w.\\]-]{0,64})(\\\\*["']?\\s{0,8}(?:[:=]|%(?:25){0,3}3[AD])\\s{0,8})`,
  'gi',
);
/** Matches the same in code, where the value of an option may follow a space. */
const NAMED_IN_CODE = new RegExp(
  `(?:${SECRET_NAME})([\\w.\\]-]{0,64})(\\\\*["']?\\s{0,8}(?:[:=]|%(?:25){0,3}3[AD])\\s{0,8}|["']?[ \\t]+)`,
  'gi',
);
/** Matches a name and its value in a path. There `token:` may be a resource, and `token=` is none. */
const NAMED_IN_PATH = new RegExp(`((?:${SECRET_NAME})[\\w.-]{0,64}(?:=|%(?:25){0,3}3D))[^/;&]*`, 'gi');
/** Matches an argument that is only the name of a secret: the next argument is its value. */
const NAME_ALONE = new RegExp(`^(?:-{1,2}|/)[\\w.-]*(?:${SECRET_NAME})[\\w.-]*$`, 'i');
/** Matches such a name without dashes, as in `aws configure set aws_secret_access_key VALUE`. */
const NAME_AS_WORD = new RegExp(`^(?=\\w*_)\\w*(?:${SECRET_NAME})\\w*$`, 'i');
/** Many programs take `user:password` with these options. */
const USER_OPTION = /^(?:-u|-U|--user|--proxy-user|--cert|--proxy-cert|--login)$/;
const SHELL_CODE_OPTION = /^-[a-zA-Z]{0,8}c$/;
/** Matches the programs of all entries at once: hardly any argument is the name of one. */
const HAS_SECRET_LETTERS = new RegExp(SECRET_LETTERS.map(({ programs }) => programs.source).join('|'));
/** The lifetime that a PUT for a metadata token asks for is no secret. */
const TTL_NAME_REST = /^-ttl-seconds$/i;
const TTL_VALUE = /^\s*\d{1,6}\s*(?=$|["'\\])/;

/**
 * Masks a whole command line and cuts it to `MAX_ARGS_CHARACTERS`. A cut shows as `…`.
 *
 * @param endIsCut the last argument was already cut when it was read, possibly within a secret.
 */
export function maskArgs(args: readonly string[], endIsCut = false): string[] {
  const kept: string[] = [];
  let room = MAX_ARGS_CHARACTERS;
  const keyIdGiven = args.some((arg) => ACCESS_KEY_ID.test(arg));
  const letters = new Set<string>();
  for (let i = 0; i < args.length; i++) {
    if (room <= 0) {
      kept.push(CUT);
      break;
    }
    const arg = args[i]!;
    const before = i > 0 ? args[i - 1]! : '';
    let masked = maskOne(arg, before, i, letters, keyIdGiven);
    if (endIsCut && i === args.length - 1) masked = maskCutEnd(masked) + CUT;
    for (const letter of lettersOf(arg)) letters.add(letter);
    kept.push(masked.length > room ? `${masked.slice(0, room)}${CUT}` : masked);
    room -= masked.length;
  }
  return kept;
}

function maskOne(
  arg: string,
  before: string,
  position: number,
  letters: ReadonlySet<string>,
  keyIdGiven: boolean,
): string {
  if (position > 0 && (NAME_ALONE.test(before) || NAME_AS_WORD.test(before))) return MASK;
  if (before.length === 2 && before[0] === '-' && letters.has(before[1]!)) return MASK;
  if (USER_OPTION.test(before) && arg.includes(':')) return MASK;
  if (arg.length > 2 && arg[0] === '-' && letters.has(arg[1]!)) return arg.slice(0, 2) + MASK;
  if (/^-[uU][^:]*:./s.test(arg)) return arg.slice(0, 2) + MASK;
  const isCode = SHELL_CODE_OPTION.test(before) && /\s/.test(arg);
  if (keyIdGiven) return maskText(arg, isCode, keyIdGiven);
  return rememberingClean(isCode ? 'code' : 'argument', arg, (text) => maskText(text, isCode, false));
}

/**
 * Masks secrets in one text.
 *
 * @param isCode the text is a shell's code, so that a value ends with its word or its quotes.
 */
export function maskText(text: string, isCode = false, keyIdGiven = ACCESS_KEY_ID.test(text)): string {
  let masked = text;
  let cut = '';
  if (masked.length > MAX_MASKED_CHARACTERS) {
    masked = masked.slice(0, MAX_MASKED_CHARACTERS - SPLIT_CHARACTERS);
    // The cut is between words, because a part of a secret need not look like a secret.
    masked = masked.slice(0, Math.max(0, masked.search(/\s\S*$/)));
    cut = CUT;
  }
  masked = isCode ? maskCommands(maskNamedInCode(masked)) : maskNamed(masked);
  masked = withoutLooks(masked, SECRET_LOOKS);
  if (keyIdGiven) masked = masked.replace(FORTY_CHARACTERS, MASK);
  return maskShapes(masked).replace(LONG_AND_DENSE, MASK) + cut;
}

/**
 * Masks secrets in the path of a file and in the name of a program, container or unit. The name of a secret
 * is only a name there (`/run/token`), unless its value follows (`token=…`).
 */
export function maskPath(path: string): string {
  return rememberingClean('file', path, (text) =>
    maskShapes(withoutLooks(text.replace(NAMED_IN_PATH, `$1${MASK}`), LOOKS_IN_PATHS)),
  );
}

/** Masks secrets in the path of a request. */
export function maskRequestPath(path: string): string {
  return maskShapes(withoutLooks(path.replace(NAMED_IN_PATH, `$1${MASK}`), SECRET_LOOKS));
}

function withoutLooks(text: string, looks: readonly RegExp[]): string {
  let masked = text;
  for (const look of looks)
    masked = masked.replace(look, (_, kept) => (typeof kept === 'string' ? kept + MASK : MASK));
  return masked;
}

/** Masks everything behind the first name of a secret. */
function maskNamed(text: string): string {
  NAMED.lastIndex = 0;
  for (let found = NAMED.exec(text); found; found = NAMED.exec(text)) {
    const value = found.index + found[0].length;
    if (isTtl(found[1]!, text.slice(value, value + 16))) continue;
    return value < text.length ? text.slice(0, value) + MASK : text;
  }
  return text;
}

function maskNamedInCode(text: string): string {
  let out = '';
  let done = 0;
  NAMED_IN_CODE.lastIndex = 0;
  for (let found = NAMED_IN_CODE.exec(text); found; found = NAMED_IN_CODE.exec(text)) {
    const value = found.index + found[0].length;
    const separator = found[2]!;
    const bySpace = !/[:=]|%(?:25){0,3}3[AD]/i.test(separator);
    // A space separates name and value only for an option (`--token x`), not for a path or a word.
    if (bySpace && !/(?:^|[\s"'])-{1,2}[\w.-]*$/.test(text.slice(Math.max(0, found.index - 64), found.index)))
      continue;
    if (isTtl(found[1]!, text.slice(value, value + 16))) continue;
    // `TOKEN=$(curl …)` has a command and no value. The loop comes to the content of the command later.
    if (separator === '=' && /^"?(?:\$\(|`)/.test(text.slice(value, value + 3))) continue;
    const end = endOfValue(text, value, separator.includes(':'));
    if (end === value) continue;
    out += text.slice(done, value) + MASK;
    done = end;
    NAMED_IN_CODE.lastIndex = end;
  }
  return out + text.slice(done);
}

/** Returns the end of a value in shell code that begins at `start`. */
function endOfValue(text: string, start: number, isHeader: boolean): number {
  const quote = openQuote(text, start);
  if (quote !== '') return skipQuoted(text, start, quote);
  if (/^[[{]/.test(text.slice(start, start + 1))) return text.length;
  let at = start;
  while (at < text.length) {
    const character = text[at]!;
    if (character === '"' || character === "'") at = skipQuoted(text, at + 1, character) + 1;
    else if (character === '\\') at += 2;
    else if (character === '\n' || (!isHeader && /\s/.test(character))) break;
    else at++;
  }
  return Math.min(at, text.length);
}

/**
 * Returns the quote around a position, or ''. Between single quotes there are no escapes (POSIX shell, 2.2).
 */
function openQuote(text: string, position: number): string {
  let quote = '';
  for (let at = 0; at < position; at++) {
    const character = text[at]!;
    if (character === '\\' && quote !== "'") at++;
    else if (quote === '' && (character === '"' || character === "'")) quote = character;
    else if (character === quote) quote = '';
  }
  return quote;
}

function skipQuoted(text: string, start: number, quote: string): number {
  for (let at = start; at < text.length; at++) {
    if (text[at] === '\\' && quote !== "'") at++;
    else if (text[at] === quote) return at;
  }
  return text.length;
}

/** Masks the options of known programs in shell code, such as `mysql -psecret`. */
function maskCommands(code: string): string {
  return code.replace(
    /(^|[\s;|&(`/])([\w-]{1,32})(?=\s)([^;|&\n]*)/g,
    (whole, lead, program, rest: string) => {
      const letters = lettersOf(program);
      const masked = rest
        .replace(/(\s(?:-[uU]|--(?:proxy-)?user)[= ]?)[^\s:]*:\S*/g, `$1${MASK}`)
        .replace(
          /(\s-)([A-Za-z])(\s*)(?:"[^"]*"|'[^']*'|[^\s"'])+/g,
          (option, dash, letter: string, space) =>
            letters.includes(letter) ? `${dash}${letter}${space}${MASK}` : option,
        );
      return masked === rest ? whole : `${lead}${program}${masked}`;
    },
  );
}

/** Returns the letters of the options that take a secret. The program is given by its path. */
function lettersOf(program: string): string {
  const name = program.slice(program.lastIndexOf('/') + 1);
  if (!HAS_SECRET_LETTERS.test(name)) return '';
  return SECRET_LETTERS.find((each) => each.programs.test(name))?.letters ?? '';
}

function isTtl(restOfName: string, value: string): boolean {
  return TTL_NAME_REST.test(restOfName) && TTL_VALUE.test(value);
}
