/**
 * Finds the calls of a source file that ask the metadata service without a token. It follows constants and
 * variables that hold the address within the file, and knows calls of HTTP clients by their names.
 */

import type { Language } from '../../known_clients/step.ts';
import {
  type Address,
  findAddresses,
  isAboutOtherCloud,
  isEc2Address,
  mayHaveAddress,
  pathOwner,
  TOKEN_HEADER,
  urlStart,
} from './address.ts';
import type { CallSite } from './call_site.ts';
import { CANNOT_SEND_HEADER, PRINTS, READS_SETTING, RUNS, SENDS } from './call_vocabulary.ts';
import { findShellCalls } from './shell_calls.ts';
import { type LexedSource, lexSource, type SourceLanguage } from './source_lexer.ts';
import { closing, type EnclosingCall, type Surroundings, stringAt, surroundingsOf } from './surroundings.ts';

const MAX_NAMES = 40;
const MAX_USES = 300;
const MAX_SITES = 500;
const MAX_ROUNDS = 3;
/** Places that are looked at in one file. More only occur in files that were made to cost time. */
const MAX_LOOKS = 3000;
const MAX_NAME = 100;

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
    const addresses = findAddresses(this.#source.code).filter((address) =>
      isEc2Address(address, this.#aboutOtherCloud),
    );
    const names = new Map<string, number>();
    const open: Address[] = [];
    const shellStrings = new Set<number>();
    for (const address of addresses.slice(0, MAX_USES)) {
      if (this.#shellString(address, shellStrings)) continue;
      const around = surroundingsOf(this.#source, address.start);
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

  /** Reads a string that is a command line as shell. Returns true if it was one. */
  #shellString(address: Address, done: Set<number>): boolean {
    const literal = stringAt(this.#source.strings, address.start);
    if (literal === null) return false;
    const content = this.#source.code.slice(literal.start, literal.end);
    const before = content.slice(0, address.start - literal.start);
    if (!/(?:^|[\s;&|(`/'"$])(?:curl|wget2?|aria2c|http|nc|Invoke-\w+)\s/.test(before)) return false;
    if (done.has(literal.start)) return true;
    done.add(literal.start);
    const around = surroundingsOf(this.#source, literal.start);
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
          const around = surroundingsOf(this.#source, index);
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
    const around = surroundingsOf(this.#source, address.start);
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
    const start = address === null ? index : urlStart(code, 0, address.start);
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
}

function lastPart(name: string): string {
  return /[\w$]+[!?]?$/.exec(name)?.[0] ?? '';
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
