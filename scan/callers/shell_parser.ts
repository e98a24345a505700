/**
 * Splits a shell script into its simple commands, with positions. It never fails: scripts in templates and broken
 * scripts are read as far as they go. It is written here because parsers of the whole language stop at the
 * first error, and `${…}` of Terraform or `{{ … }}` of Ansible is one. Syntax: POSIX.1-2024, Shell Command Language,
 * section 2, with bash's arrays, here-strings and process substitution. It is longer than other files because all
 * methods move one position.
 */

export interface Word {
  start: number;
  end: number;
  /** Without its quotes. Variables stay as `$NAME` or `${…}`; a command substitution is `$()`. */
  text: string;
  /** True if a quote was part of it. */
  quoted: boolean;
}

export interface Assignment {
  name: string;
  value: Word;
}

export interface HereDocument {
  start: number;
  end: number;
}

export interface Command {
  start: number;
  end: number;
  words: Word[];
  assignments: Assignment[];
  redirects: { operator: string; target: Word }[];
  hereDocuments: HereDocument[];
}

export interface ShellFunction {
  name: string;
  start: number;
  end: number;
}

export interface Script {
  commands: Command[];
  functions: ShellFunction[];
}

/** Deeper nesting is read as flat text, so that a hostile file cannot exhaust the stack. */
const MAX_DEPTH = 40;
const MAX_COMMANDS = 100_000;
/** Each here-document without its end costs a look through the rest of the file. */
const MAX_OPEN_HERE_DOCUMENTS = 20;
/** Each `${` without its brace costs a look at the text behind it. */
const MAX_OPEN_BRACES = 1000;

const RESERVED = new Set(
  'if then else elif fi do done while until for case esac in select time ! { } [[ ]] coproc'.split(' '),
);
/** `for x in …` and `case x in` are lists of words, not commands. `[[` and `[` are kept as commands. */
const STARTS_COMMAND = new Set('if then else elif do while until time ! { coproc'.split(' '));
const NAME_AND_EQUALS = /^[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=/;

export function parseShell(text: string, from = 0, to = text.length): Script {
  return new Parser(text, from, to).parse();
}

class Parser {
  readonly #text: string;
  readonly #end: number;
  #at: number;
  #depth = 0;
  readonly #commands: Command[] = [];
  readonly #functions: ShellFunction[] = [];
  readonly #openFunctions: { name: string; start: number; braces: number }[] = [];
  #braces = 0;
  #waiting: { delimiter: string; command: Command }[] = [];
  #openHereDocuments = 0;
  #openBraces = 0;

  constructor(text: string, from: number, to: number) {
    this.#text = text;
    this.#at = from;
    this.#end = to;
  }

  parse(): Script {
    while (this.#at < this.#end) {
      this.#list(null);
      this.#at += 1; // A closing bracket without its opening one.
    }
    for (const { name, start } of this.#openFunctions) this.#functions.push({ name, start, end: this.#end });
    return { commands: this.#commands, functions: this.#functions };
  }

  /** Reads commands up to `stop`, which is not consumed. */
  #list(stop: ')' | '`' | null): void {
    let command = this.#begin();
    const finish = () => {
      if (command.words.length + command.assignments.length + command.redirects.length > 0) {
        command.end = Math.max(command.start, lastEnd(command));
        if (this.#commands.length < MAX_COMMANDS) this.#commands.push(command);
      }
      command = this.#begin();
    };
    while (this.#at < this.#end) {
      const char = this.#text[this.#at]!;
      if (char === stop) break;
      if (char === '\n') {
        finish();
        this.#at += 1;
        this.#readHereDocuments();
        command = this.#begin();
      } else if (char === ' ' || char === '\t' || char === '\r') this.#at += 1;
      else if (char === '\\' && this.#isLineEnd(this.#at + 1))
        this.#at += this.#text[this.#at + 1] === '\r' ? 3 : 2;
      else if (char === '#') this.#skipComment();
      else if (char === ';' || char === '|' || char === '&') {
        if (char === '&' && this.#text[this.#at + 1] === '>') this.#redirect(command);
        else {
          finish();
          this.#at += 1;
          command = this.#begin();
        }
      } else if (char === '<' || char === '>') this.#redirect(command);
      else if (char === '(') {
        if (this.#startsFunction(command)) {
          command = this.#begin();
          continue;
        }
        finish();
        this.#nested(')', 1);
        command = this.#begin();
      } else if (char === ')') {
        if (stop === null && this.#depth > 0) break;
        // It ends a pattern of `case`.
        command = this.#begin();
        this.#at += 1;
        command.start = this.#at;
      } else if (char === '`') {
        if (stop === '`') break;
        this.#word(command);
      } else this.#word(command, finish);
    }
    finish();
  }

  #begin(): Command {
    return { start: this.#at, end: this.#at, words: [], assignments: [], redirects: [], hereDocuments: [] };
  }

  #skipComment(): void {
    const newline = this.#text.indexOf('\n', this.#at);
    this.#at = newline === -1 || newline > this.#end ? this.#end : newline;
  }

  #isLineEnd(index: number): boolean {
    return this.#text[index] === '\n' || (this.#text[index] === '\r' && this.#text[index + 1] === '\n');
  }

  /** `name()` begins a function. */
  #startsFunction(command: Command): boolean {
    const empty = /\(\s*\)/y;
    empty.lastIndex = this.#at;
    const match = empty.exec(this.#text);
    const name = command.words.length === 1 ? command.words[0]! : null;
    if (match === null || name === null || name.quoted) return false;
    this.#at += match[0].length;
    this.#openFunctions.push({ name: name.text, start: name.start, braces: this.#braces });
    return true;
  }

  #nested(stop: ')' | '`', opening: number): void {
    this.#at += opening;
    if (this.#depth >= MAX_DEPTH) return;
    this.#depth += 1;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#list(stop);
    this.#waiting = [...waiting, ...this.#waiting];
    this.#depth -= 1;
    if (this.#text[this.#at] === stop) this.#at += 1;
  }

  #redirect(command: Command): void {
    const start = this.#at;
    const operator = /^(?:&>>?|<<<|<<-?|<>|<&|>&|>>|>\||[<>])/.exec(this.#text.slice(start, start + 3))![0];
    if ((operator === '<' || operator === '>') && this.#text[start + 1] === '(') {
      this.#at += 1;
      this.#nested(')', 1);
      return;
    }
    this.#at += operator.length;
    while (this.#text[this.#at] === ' ' || this.#text[this.#at] === '\t') this.#at += 1;
    const target = this.#readWord();
    if (target === null) return;
    command.redirects.push({ operator, target });
    if (operator === '<<' || operator === '<<-') this.#waiting.push({ delimiter: target.text, command });
  }

  #readHereDocuments(): void {
    for (const { delimiter, command } of this.#waiting.splice(0)) {
      if (this.#openHereDocuments >= MAX_OPEN_HERE_DOCUMENTS) return;
      const start = this.#at;
      let at = start;
      let end = -1;
      while (at < this.#end) {
        const newline = this.#text.indexOf('\n', at);
        const lineEnd = newline === -1 || newline > this.#end ? this.#end : newline;
        // In YAML and in Terraform's heredocs the whole script is indented, so blanks before it are accepted.
        if (this.#text.slice(at, lineEnd).trim() === delimiter) {
          end = at;
          at = Math.min(lineEnd + 1, this.#end);
          break;
        }
        at = lineEnd + 1;
      }
      // Without its end it is not a here-document: the lines are read as commands.
      if (end === -1) {
        this.#openHereDocuments += 1;
        continue;
      }
      command.hereDocuments.push({ start, end });
      this.#at = at;
    }
  }

  #word(command: Command, finish: () => void = () => {}): void {
    const before = this.#at;
    const word = this.#readWord();
    if (word === null) {
      if (this.#at === before) this.#at += 1;
      return;
    }
    if (command.words.length === 0) {
      if (command.assignments.length === 0 && command.redirects.length === 0) command.start = word.start;
      if (!word.quoted && RESERVED.has(word.text)) {
        this.#reserved(word);
        if (STARTS_COMMAND.has(word.text)) return;
        if (word.text === '}' || word.text === 'fi' || word.text === 'done' || word.text === 'esac') return;
      }
      const equals = NAME_AND_EQUALS.exec(this.#text.slice(word.start, Math.min(word.end, word.start + 200)));
      if (equals !== null) {
        command.assignments.push(assignment(equals[0], word));
        return;
      }
      if (word.text === 'function' && !word.quoted) {
        this.#functionKeyword();
        finish();
        return;
      }
    }
    command.words.push(word);
  }

  #reserved(word: Word): void {
    if (word.text === '{') this.#braces += 1;
    if (word.text !== '}') return;
    this.#braces -= 1;
    const open = this.#openFunctions.at(-1);
    if (open === undefined || open.braces < this.#braces) return;
    this.#openFunctions.pop();
    this.#functions.push({ name: open.name, start: open.start, end: word.end });
  }

  #functionKeyword(): void {
    const header = /[ \t]+([\w.:-]{1,100})[ \t]*(?:\([ \t]*\))?/y;
    header.lastIndex = this.#at;
    const match = header.exec(this.#text);
    if (match === null) return;
    this.#openFunctions.push({ name: match[1]!, start: this.#at, braces: this.#braces });
    this.#at += match[0].length;
  }

  /** Returns null where no word begins. */
  #readWord(): Word | null {
    const start = this.#at;
    let text = '';
    let quoted = false;
    while (this.#at < this.#end) {
      const char = this.#text[this.#at]!;
      if (/[\s;&|<>)]/.test(char)) break;
      if (char === '(') {
        // An array: NAME=(…). Elsewhere a bracket ends the word.
        if (!NAME_AND_EQUALS.test(text) || !text.endsWith('=')) break;
        const from = this.#at;
        this.#nested(')', 1);
        text += this.#text.slice(from, this.#at);
      } else if (char === '`') {
        if (this.#inBackticks()) break;
        this.#backticks();
        text += '$()';
      } else if (char === "'") {
        const close = this.#text.indexOf("'", this.#at + 1);
        if (close === -1 || close >= this.#end) {
          text += char;
          this.#at += 1;
          continue;
        }
        text += this.#text.slice(this.#at + 1, close);
        quoted = true;
        this.#at = close + 1;
      } else if (char === '"') {
        text += this.#doubleQuoted();
        quoted = true;
      } else if (char === '\\') {
        if (this.#isLineEnd(this.#at + 1)) {
          this.#at += this.#text[this.#at + 1] === '\r' ? 3 : 2;
          continue;
        }
        text += this.#text[this.#at + 1] ?? '';
        this.#at += 2;
      } else if (char === '$') text += this.#dollar();
      else {
        text += char;
        this.#at += 1;
      }
    }
    this.#at = Math.min(this.#at, this.#end);
    return this.#at === start ? null : { start, end: this.#at, text, quoted };
  }

  #backtickDepth = 0;
  #inBackticks(): boolean {
    return this.#backtickDepth > 0;
  }
  #backticks(): void {
    this.#backtickDepth += 1;
    this.#nested('`', 1);
    this.#backtickDepth -= 1;
  }

  #doubleQuoted(): string {
    let text = '';
    this.#at += 1;
    while (this.#at < this.#end) {
      const char = this.#text[this.#at]!;
      if (char === '"') {
        this.#at += 1;
        return text;
      }
      if (char === '\\' && this.#at + 1 < this.#end) {
        const next = this.#text[this.#at + 1]!;
        text +=
          next === '\n'
            ? ''
            : next === '"' || next === '\\' || next === '$' || next === '`'
              ? next
              : `\\${next}`;
        this.#at += 2;
      } else if (char === '$') text += this.#dollar();
      else if (char === '`' && !this.#inBackticks()) {
        this.#backticks();
        text += '$()';
      } else {
        text += char;
        this.#at += 1;
      }
    }
    return text;
  }

  /** Reads what begins with a dollar sign. */
  #dollar(): string {
    const next = this.#text[this.#at + 1];
    if (next === '(') {
      this.#at += 1;
      const backticks = this.#backtickDepth;
      this.#backtickDepth = 0;
      this.#nested(')', 1);
      this.#backtickDepth = backticks;
      return '$()';
    }
    if (next === "'") {
      const close = /(?:[^'\\]|\\.)*'/sy;
      close.lastIndex = this.#at + 2;
      const match = close.exec(this.#text);
      if (match !== null && this.#at + 2 + match[0].length <= this.#end) {
        this.#at += 2 + match[0].length;
        return match[0].slice(0, -1);
      }
    }
    if (next === '{' && this.#openBraces < MAX_OPEN_BRACES) {
      const close = closingBrace(this.#text, this.#at + 2, this.#end);
      if (close !== -1) {
        const text = this.#text.slice(this.#at, close + 1);
        this.#at = close + 1;
        return text;
      }
      this.#openBraces += 1;
    }
    this.#at += 1;
    return '$';
  }
}

/** Reads at most 2,000 characters: no expansion of practice is longer, and a missing brace must not cost more. */
function closingBrace(text: string, from: number, end: number): number {
  let open = 1;
  for (let at = from; at < Math.min(end, from + 2000); at++) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '{') open += 1;
    else if (text[at] === '}') {
      open -= 1;
      if (open === 0) return at;
    }
  }
  return -1;
}

/** Splits a word that is `NAME=value`. `equals` is the part before the value. */
export function assignment(equals: string, word: Word): Assignment {
  const at = word.text.indexOf('=');
  return {
    name: /^\w+/.exec(equals)![0],
    value: {
      start: Math.min(word.end, word.start + equals.length),
      end: word.end,
      text: word.text.slice(at + 1),
      quoted: word.quoted,
    },
  };
}

function lastEnd({ words, assignments, redirects }: Command): number {
  return Math.max(
    words.at(-1)?.end ?? 0,
    assignments.at(-1)?.value.end ?? 0,
    redirects.at(-1)?.target.end ?? 0,
  );
}
