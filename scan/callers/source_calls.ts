/**
 * Finds the calls of a source file that ask the metadata service without a token. It follows constants and
 * variables that hold the address within the file, and knows calls of HTTP clients by their names.
 */

import type { Language } from '../../known_clients/step.ts';
import {
  type Address,
  findAddresses,
  isAboutOtherCloud,
  mayHaveAddress,
  pathOwner,
  TOKEN_HEADER,
} from './address.ts';
import type { CallSite } from './call_site.ts';
import { findShellCalls } from './shell_calls.ts';
import { type LexedSource, lexSource, type SourceLanguage } from './source_lexer.ts';

/** Last part of the names of functions, methods and constructors that send a request or open a connection. */
const SENDS =
  /^(?:get|put|post|head|request|fetch|open|urlopen|urlretrieve|url_?open|Request|retrieve|download|stream|ajax|Get|Head|Post|Put|Do|NewRequest|NewRequestWithContext|Dial|DialTimeout|DialContext|connect|create_connection|open_connection|createConnection|HTTPConnection|HTTPSConnection|HTTP|get_response|get_print|start|uri|read|new|newBuilder|openStream|openConnection|URL|readText|readBytes|fromURL|getForObject|getForEntity|exchange|retrieve|Url|file_get_contents|curl_init|curl_setopt|fopen|readfile|fsockopen|stream_socket_client|get_headers|simplexml_load_file|Client|DownloadString(?:Async|TaskAsync)?|DownloadData|OpenRead|GetStringAsync|GetAsync|GetStreamAsync|GetByteArrayAsync|SendAsync|Create|CreateHttp|HttpRequestMessage|HttpGet|HttpPut|GET|RestClient|RestRequest|getstore|getprint|mirror|axios|got|needle|superagent|ky|undici|agent|curl_easy_setopt|create|extend|instance|Connection|PoolManager|ClientSession)$/;
/** Calls that run a command: a request only where the command is a client, which the shell's reader decides. */
const RUNS =
  /^(?:system|exec|execSync|execFile|execFileSync|spawn|spawnSync|popen|Popen|run|call|check_call|check_output|getoutput|getstatusoutput|shell_exec|passthru|proc_open|Command|command|execute|capture2|capture2e|capture3|sh|bash|ProcessBuilder|Start|qx|x)$/;
const PRINTS =
  /^(?:print|println|printf|fprintf|sprintf|puts|echo|log|info|warn|warning|error|debug|trace|fatal|Errorf|Printf|Println|Fatalf|Infof|Debugf|WriteLine|write|Error|Exception|ValueError|RuntimeError|raise|assert|assertEqual|assertEquals|describe|it|test)$/;
/** Calls whose argument is a default or a setting. The variable that gets it is followed. */
const READS_SETTING =
  /environ|getenv|\benv\b|config|settings?\b|flags?\b|options?\b|argparse|add_argument|fetch_env|viper/i;
/** Names of arguments that are sent, not called. A URL in them is data, for example in a test of a proxy. */
const DATA_ARGUMENT =
  /(?:json|data|params|body|payload|form|query|content|headers|proxies)["']?\s*(?:=|:|=>)\s*$/i;
/** Calls whose only argument is the URL: nothing else can carry a header. */
const CANNOT_SEND_HEADER =
  /^(?:requests\.(?:get|head|request)|urllib\.request\.urlopen|urllib2\.urlopen|urlopen|fetch|http\.Get|http\.get|got|axios\.get|Net::HTTP\.get|file_get_contents|httpx\.get|WebClient|open-uri)$/;

/** Other forms of a constant: PHP's define, a key in capitals, C's macro. */
const CONSTANTS = [
  /\bdefine\s*\(\s*["'](\w+)["']\s*,\s*["'][^"'\n]*$/,
  /(?:^|[\s{,([])["']?([A-Z][A-Z0-9_]{2,})["']?\s*(?::|=>)\s*["'`][^"'`\n]*$/,
  /^[ \t]*#define[ \t]+(\w+)[ \t]+["'][^\n]*$/,
] as const;

const MAX_NAMES = 40;
const MAX_USES = 300;
const MAX_SITES = 500;
const MAX_ROUNDS = 3;
/** Places that are looked at in one file. More only occur in files that were made to cost time. */
const MAX_LOOKS = 3000;
const MAX_NAME = 100;
/** Characters that are looked through for the call around an argument. */
const MAX_LOOK_BACK = 3000;

const CODE_LANGUAGES: Partial<Record<SourceLanguage, Language>> = {
  python: 'python',
  javascript: 'javascript',
  go: 'go',
  ruby: 'ruby',
  php: 'php',
  java: 'java',
  perl: 'perl',
};

export function findSourceCalls(text: string, language: SourceLanguage): CallSite[] {
  if (!mayHaveAddress(text)) return [];
  return new SourceCalls(text, language).read();
}

interface EnclosingCall {
  name: string;
  nameStart: number;
  open: number;
}

interface Surroundings {
  calls: EnclosingCall[];
  isData: boolean;
  /** Names that the value is assigned to. */
  names: string[];
  statementStart: number;
}

class SourceCalls {
  readonly #source: LexedSource;
  readonly #language: SourceLanguage;
  readonly #hasToken: boolean;
  readonly #aboutOtherCloud: boolean;
  readonly #sites = new Map<number, CallSite>();
  #looks = 0;

  constructor(text: string, language: SourceLanguage) {
    this.#language = language;
    this.#source = lexSource(text, language);
    this.#hasToken = TOKEN_HEADER.test(this.#source.code);
    this.#aboutOtherCloud = isAboutOtherCloud(this.#source.code);
  }

  read(): CallSite[] {
    const addresses = findAddresses(this.#source.code).filter((address) => this.#isEc2(address));
    const names = new Map<string, number>();
    const open: Address[] = [];
    const shellStrings = new Set<number>();
    for (const address of addresses.slice(0, MAX_USES)) {
      if (this.#shellString(address, shellStrings)) continue;
      const around = this.#around(address.start);
      if (this.#request(address.start, address, around)) continue;
      for (const name of around.names) if (names.size < MAX_NAMES) names.set(name, address.start);
      open.push(address);
    }
    if (!this.#hasToken) {
      const used = this.#followNames(names);
      for (const address of open) if (!used.has(address.start)) this.#mention(address);
    }
    return [...this.#sites.values()].sort((a, b) => a.start - b.start);
  }

  #isEc2({ path }: Address): boolean {
    const owner = pathOwner(path);
    return owner === 'ec2' || (owner === 'open' && !this.#aboutOtherCloud);
  }

  /** Reads a string that is a command line as shell. Returns true if it was one. */
  #shellString(address: Address, done: Set<number>): boolean {
    const literal = stringAt(this.#source.strings, address.start);
    if (literal === null) return false;
    const content = this.#source.code.slice(literal.start, literal.end);
    const before = content.slice(0, address.start - literal.start);
    if (!/(?:^|[\s;&|(`/'"$])(?:curl|wget2?|aria2c|http|nc|Invoke-\w+)\s/.test(before)) return false;
    if (done.has(literal.start)) return true;
    done.add(literal.start);
    const around = this.#around(literal.start);
    const innermost = around.calls[0]?.name ?? '';
    if (PRINTS.test(lastPart(innermost))) return true;
    const found = findShellCalls(this.#source.code, {
      from: literal.start,
      to: literal.end,
      hasToken: this.#hasToken,
    });
    for (const site of found) this.#keep(site.start, site);
    return true;
  }

  /** Records a request if a client's call is around `index`. Returns true if it was recognised, with a token or without. */
  #request(index: number, address: Address | null, around: Surroundings): boolean {
    if (around.isData) return false;
    if (this.#cmdlet(index, address, around)) return true;
    for (const call of around.calls) {
      if (PRINTS.test(lastPart(call.name)) && !/^(?:axios|got|request)/.test(call.name)) return true;
      const isSetting = READS_SETTING.test(call.name);
      const sends = SENDS.test(lastPart(call.name)) && !isSetting;
      const runs = RUNS.test(lastPart(call.name)) && this.#namesClient(call.open);
      if (!sends && !runs) continue;
      // A URL object is only a value where it is assigned.
      if (
        /^(?:URL|Url|URI|uri|new|create|Uri)$/.test(lastPart(call.name)) &&
        around.names.length > 0 &&
        around.calls.length === 1
      ) {
        if (!/HTTP|Client|axios|got/i.test(call.name) && !this.#isReadAtOnce(call.open)) return false;
      }
      if (this.#hasToken && !this.#isCertain(call, address)) return true;
      this.#add('request', call.open, address, index, call.name, around.statementStart);
      return true;
    }
    return false;
  }

  /** True for `URL("…").readText()`. */
  #isReadAtOnce(open: number): boolean {
    const { structure } = this.#source;
    return /^\)\s*\.\s*(?:open|read)/.test(
      structure.slice(closing(structure, open), closing(structure, open) + 60),
    );
  }

  /** PowerShell has arguments without brackets. */
  #cmdlet(index: number, address: Address | null, { statementStart }: Surroundings): boolean {
    if (this.#language !== 'powershell') return false;
    const before = this.#source.code.slice(Math.max(statementStart, index - 500), index);
    const cmdlet =
      /(?:^|[\s=(;|{&])(Invoke-RestMethod|Invoke-WebRequest|irm|iwr|curl(?:\.exe)?|wget|Start-BitsTransfer)\s[^;|]*$/i.exec(
        before,
      );
    if (cmdlet === null) return false;
    if (!this.#hasToken) this.#add('request', index, address, index, cmdlet[1]!, statementStart);
    return true;
  }

  /** A method of the variable itself: `url.openStream()`. */
  #method(name: string, index: number, { statementStart }: Surroundings): boolean {
    const method = /^\s*\??\.\s*(\w+)\s*\(/.exec(
      this.#source.structure.slice(index + name.length, index + name.length + 60),
    );
    if (method === null || !/^(?:open|read|get$|fetch)/i.test(method[1]!)) return false;
    if (!this.#hasToken)
      this.#add(
        'request',
        index + name.length + method[0].length - 1,
        null,
        index,
        `${name}.${method[1]}`,
        statementStart,
      );
    return true;
  }

  /** True if the arguments hold the name of a client: `["curl", "-s", URL]`. */
  #namesClient(open: number): boolean {
    return /["'`](?:\/usr\/bin\/)?(?:curl|wget)["'`\s]/.test(
      this.#source.code.slice(open, closing(this.#source.structure, open)),
    );
  }

  #isCertain(call: EnclosingCall, address: Address | null): boolean {
    if (address === null || !CANNOT_SEND_HEADER.test(call.name)) return false;
    const end = closing(this.#source.structure, call.open);
    const inside = this.#source.structure.slice(call.open + 1, end);
    // An object or a variable may hold a header.
    if (!/^\s*[a-zA-Z$@]{0,2}["'`]/.test(this.#source.code.slice(call.open + 1, end))) return false;
    return !hasSecondArgument(inside.replace(/,\s*timeout\s*=\s*[\w.]+/g, ''));
  }

  /** Follows names to the calls that use them. Returns the addresses that reach a call. */
  #followNames(names: Map<string, number>): Set<number> {
    const used = new Set<number>();
    const known = new Set(names.keys());
    let round = names;
    for (let count = 0; count < MAX_ROUNDS && round.size > 0; count++) {
      const next = new Map<string, number>();
      for (const [name, origin] of round) {
        for (const index of this.#usesOf(name)) {
          const around = this.#around(index);
          const before = this.#sites.size;
          if (this.#request(index, null, around) || this.#method(name, index, around)) {
            if (this.#sites.size > before || this.#sites.size > 0) used.add(origin);
            continue;
          }
          for (const assigned of around.names) {
            if (known.has(assigned) || known.size >= MAX_NAMES) continue;
            known.add(assigned);
            next.set(assigned, origin);
          }
        }
      }
      round = next;
    }
    return used;
  }

  *#usesOf(name: string): Generator<number> {
    if (name.length > MAX_NAME) return;
    const pattern = new RegExp(String.raw`(?<![\w$])${name.replaceAll('$', String.raw`\$`)}(?![\w$])`, 'g');
    let count = 0;
    for (const { index } of this.#source.code.matchAll(pattern)) {
      if (++count > MAX_USES || ++this.#looks > MAX_LOOKS) return;
      const behind = this.#source.code.slice(index + name.length, index + name.length + 60);
      // Its own definition, or a key of the same name.
      if (/^["']?\s*(?::\s*[\w<>[\] |?]+\s*)?(?::=|=(?![=>~])|:\s)/.test(behind)) continue;
      yield index;
    }
  }

  #mention(address: Address): void {
    if (!address.isUrl && pathOwner(address.path) !== 'ec2') return;
    const around = this.#around(address.start);
    if (around.calls.some(({ name }) => PRINTS.test(lastPart(name)))) return;
    this.#add('address', address.start, address, address.start, null, around.statementStart);
  }

  #add(
    kind: 'request' | 'address',
    key: number,
    address: Address | null,
    index: number,
    by: string | null,
    statementStart: number,
  ): void {
    const { code, structure } = this.#source;
    const start = address === null ? index : schemeStart(code, address.start);
    const end =
      address === null
        ? index + (/^[\w$]+/.exec(code.slice(index, index + 200))?.[0].length ?? 1)
        : address.end;
    const scopeEnd = kind === 'request' ? Math.max(end, closing(structure, key)) : end;
    this.#keep(key, {
      kind,
      start,
      end,
      scopeStart: Math.min(start, statementStart),
      scopeEnd,
      by,
      language: CODE_LANGUAGES[this.#language] ?? null,
    });
  }

  #keep(key: number, site: CallSite): void {
    if (this.#sites.size < MAX_SITES && !this.#sites.has(key)) this.#sites.set(key, site);
  }

  /** Looks outwards from an index: the calls that it is an argument of, and the names that its value gets. */
  #around(index: number): Surroundings {
    const { structure, code } = this.#source;
    const calls: EnclosingCall[] = [];
    const names: string[] = [];
    let isData = false;
    let open = 0;
    const from = Math.max(0, index - MAX_LOOK_BACK);
    let at = index - 1;
    let start = index;
    if (this.#isDataArgument(this.#literalStart(index))) isData = true;
    for (; at >= from; at--) {
      const char = structure[at]!;
      if (char === ')' || char === ']' || char === '}') open += 1;
      else if (char === '(' || char === '[' || char === '{') {
        if (open > 0) {
          open -= 1;
          continue;
        }
        start = at;
        if (char === '(') {
          const name = calleeBefore(code, at);
          if (
            /(?:^|\s)(?:def|func|function|fn|sub|if|while|for|switch|catch|elif)$/.test(
              code.slice(Math.max(0, at - name.length - 12), at - name.length).trimEnd(),
            ) ||
            /^(?:if|while|for|switch|catch|foreach|elif)$/.test(name)
          ) {
            break;
          }
          if (name !== '') calls.push({ name, nameStart: at - name.length, open: at });
        }
        if (char === '{' && !beginsObject(code, at)) break;
        if (this.#isDataArgument(at)) isData = true;
      } else if (open === 0 && (char === ';' || (char === '\n' && this.#endsStatement(at, calls.length))))
        break;
    }
    const statementStart = skipBlanks(code, Math.max(at + 1, from), start);
    // Names that are assigned on the way from the statement's begin to the value.
    const left = structure.slice(Math.max(statementStart, index - 400), index);
    for (const match of left.matchAll(
      /([A-Za-z_$][\w$]*)\s*(?::\s*[\w<>[\]., |?&']{1,60}?)?\s*(?::=|\+?=(?![=>~])|\|\|=)/g,
    ))
      names.push(match[1]!);
    const line = code.slice(Math.max(code.lastIndexOf('\n', index) + 1, index - 200), index);
    for (const pattern of CONSTANTS) {
      const name = pattern.exec(line)?.[1];
      if (name !== undefined) names.push(name);
    }
    return { calls, isData, names, statementStart };
  }

  #isDataArgument(position: number): boolean {
    const before = this.#source.code.slice(Math.max(0, position - 40), position);
    return DATA_ARGUMENT.test(before.replace(/(?<=[=:>]\s*)[fFrRbBuU@$]{1,2}$/, ''));
  }

  /** Index of the quote before the string that holds `index`, or `index`. */
  #literalStart(index: number): number {
    const literal = stringAt(this.#source.strings, index);
    return literal === null ? index : literal.start - 1;
  }

  /** A line break ends a statement unless the next line goes on with a method call or this one ends in an operator. */
  #endsStatement(newline: number, enclosing: number): boolean {
    const { structure } = this.#source;
    if (enclosing > 0 && !/[;{}]\s*$/.test(structure.slice(Math.max(0, newline - 20), newline))) {
      // Arguments over several lines have their call already; what stands before it is needed for names only.
      const line = structure.slice(newline + 1, newline + 80);
      return (
        !/^\s*[.)\]}]/.test(line) &&
        !/[=(,[{.+\\|&?:]\s*$/.test(structure.slice(Math.max(0, newline - 40), newline))
      );
    }
    const next = structure.slice(newline + 1, newline + 80);
    if (/^\s*(?:\.|->|\?\.|\|\||&&|\+|\?|:)/.test(next)) return false;
    return !/(?:[=(,[{.+\\|&?:]|=>|->|return)\s*$/.test(
      structure.slice(Math.max(0, newline - 40), newline).trimEnd(),
    );
  }
}

/** Returns the name chain before an opening bracket: `requests.get`, `Net::HTTP.get`. */
function calleeBefore(code: string, open: number): string {
  return (
    /[A-Za-z_$][\w$]*(?:(?:\?\.|\.|::|->|\\)[A-Za-z_$][\w$!?]*)*[ \t]?$/
      .exec(code.slice(Math.max(0, open - 120), open))?.[0]
      .trimEnd() ?? ''
  );
}

function lastPart(name: string): string {
  return /[\w$]+[!?]?$/.exec(name)?.[0] ?? '';
}

/** A brace behind one of these begins an object, a map or a struct; behind anything else it begins a block. */
function beginsObject(code: string, at: number): boolean {
  const before = code.slice(Math.max(0, at - 40), at).trimEnd();
  return /(?:[(,=:[?&|]|=>|return|\w\s*\*?)$/.test(before)
    ? !/(?:\)|=>|else|try|finally|do|begin)$/.test(before)
    : false;
}

/** Index of the bracket that closes `open`; the end of the look-ahead where there is none. */
function closing(structure: string, open: number): number {
  let depth = 0;
  const limit = Math.min(structure.length, open + MAX_LOOK_BACK);
  for (let at = open; at < limit; at++) {
    const char = structure[at];
    if (char === '(' || char === '[' || char === '{') depth += 1;
    else if (char === ')' || char === ']' || char === '}') {
      depth -= 1;
      if (depth <= 0) return at;
    }
  }
  return limit;
}

function hasSecondArgument(inside: string): boolean {
  let depth = 0;
  for (const char of inside.replace(/,\s*$/, '')) {
    if (char === '(' || char === '[' || char === '{') depth += 1;
    else if (char === ')' || char === ']' || char === '}') depth -= 1;
    else if (char === ',' && depth === 0) return true;
  }
  return false;
}

function stringAt(strings: LexedSource['strings'], index: number): LexedSource['strings'][number] | null {
  let low = 0;
  let high = strings.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const { start, end } = strings[middle]!;
    if (index < start) high = middle - 1;
    else if (index >= end) low = middle + 1;
    else return strings[middle]!;
  }
  return null;
}

function skipBlanks(text: string, from: number, to: number): number {
  let at = from;
  while (at < to && /\s/.test(text[at]!)) at += 1;
  return at;
}

function schemeStart(code: string, address: number): number {
  const scheme = /(?:[a-z]{2,8}:\/\/)?\[?(?:::ffff:)?$/i.exec(
    code.slice(Math.max(0, address - 40), address),
  )!;
  return address - scheme[0].length;
}
