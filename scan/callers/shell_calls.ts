/** Finds the commands of a shell script that ask the metadata service without a token. */
import {
  findAddresses,
  hasOtherCloudHeader,
  isAboutOtherCloud,
  isEc2Address,
  mayHaveAddress,
  pathOwner,
  TOKEN_HEADER,
  urlStart,
} from './address.ts';
import type { CallSite } from './call_site.ts';
import { type Command, parseShell, type Script, type Word } from './shell_parser.ts';
import {
  assignmentsOf,
  baseName,
  CLIENT_IN_TEXT,
  CONFIG_OPTION,
  goesOnWithoutToken,
  INTERPRETER,
  isClient,
  isExport,
  NOT_A_CALL,
  OPEN_ARGUMENTS,
  OPEN_OPTIONS,
  PRINTS,
  PROXY_VARIABLE,
  placeOf,
  programOf,
} from './shell_vocabulary.ts';

/** Here-documents and quoted scripts inside each other; more is not read. */
const MAX_NESTING = 5;
const MAX_EXPANDED = 4000;
const MAX_SITES = 2000;
/** Each costs a few looks through the script, and one finding says it. */
const MAX_TOKEN_CHECKS = 20;

/** Code of another language inside a script. The caller knows how to read it. */
export type EmbeddedReader = (program: string, text: string, start: number, end: number) => CallSite[] | null;

/**
 * Returns the call sites between two indices. `hasToken` says that the file sends a token somewhere: then only commands are
 * reported that cannot have one.
 */
export function findShellCalls(
  text: string,
  {
    from = 0,
    to = text.length,
    embedded = () => null,
    hasToken,
  }: {
    from?: number;
    to?: number;
    embedded?: EmbeddedReader;
    hasToken: boolean;
  },
): CallSite[] {
  return new ShellCalls(text, hasToken, embedded).read(from, to);
}

class ShellCalls {
  readonly #text: string;
  readonly #hasToken: boolean;
  readonly #embedded: EmbeddedReader;
  readonly #variables = new Map<string, string[]>();
  readonly #aboutOtherCloud: boolean;
  readonly #sites: CallSite[] = [];
  #tokenChecks = 0;

  constructor(text: string, hasToken: boolean, embedded: EmbeddedReader) {
    this.#text = text;
    this.#hasToken = hasToken;
    this.#embedded = embedded;
    this.#aboutOtherCloud = isAboutOtherCloud(text);
  }

  read(from: number, to: number): CallSite[] {
    this.#script(from, to, 0);
    return this.#sites.sort((a, b) => a.start - b.start);
  }

  #script(from: number, to: number, nesting: number): void {
    const script = parseShell(this.#text, from, to);
    for (const command of script.commands) this.#collectVariables(command);
    for (const command of script.commands) {
      if (this.#sites.length >= MAX_SITES) return;
      this.#command(command, script, nesting);
    }
  }

  #collectVariables(command: Command): void {
    for (const { name, value } of assignmentsOf(command)) {
      const known = this.#variables.get(name) ?? [];
      if (known.length < 50) known.push(value.text.slice(0, MAX_EXPANDED));
      this.#variables.set(name, known);
    }
  }

  #command(command: Command, script: Script, nesting: number): void {
    const program = programOf(command);
    for (const { start, end } of command.hereDocuments) {
      if (!mayHaveAddress(this.#text.slice(start, end))) continue;
      const sites = program === null ? null : this.#embedded(program, this.#text, start, end);
      if (sites !== null) this.#sites.push(...sites);
      else if (nesting < MAX_NESTING) this.#script(start, end, nesting + 1);
    }
    if (this.#s3fs(command)) return;
    const clientIndex = command.words.findIndex((word) => isClient(word));
    const writesFile = command.redirects.some(({ operator }) => operator.startsWith('>'));
    const prints = PRINTS.has(program ?? '') || (clientIndex === -1 && NOT_A_CALL.has(program ?? ''));
    if (prints && !writesFile) return;
    if (this.#quotedScripts(command, clientIndex, nesting)) return;
    if (clientIndex !== -1 && !prints) this.#request(command, clientIndex);
    else if (program !== null && script.functions.some(({ name }) => name === program))
      this.#functionCall(command, program, script);
    else if (!prints) this.#mention(command);
    for (const { target } of command.redirects) {
      if (target.text.startsWith('/dev/tcp/')) this.#raw(command, target);
    }
  }

  /** Reads `sh -c "…"` and other quoted scripts. Returns true if there was one. */
  #quotedScripts(command: Command, clientIndex: number, nesting: number): boolean {
    let found = false;
    const words = [...command.words, ...assignmentsOf(command).map(({ value }) => value)];
    for (const word of words) {
      const raw = this.#text.slice(word.start, word.end);
      if (!word.quoted || !/\s/.test(word.text) || !mayHaveAddress(word.text)) continue;
      const program = command.words.map(({ text }) => baseName(text)).find((name) => INTERPRETER.test(name));
      if (program !== undefined && clientIndex === -1) {
        const sites = this.#embedded(program, this.#text, word.start + 1, word.end - 1);
        if (sites !== null) {
          this.#sites.push(...sites);
          found = true;
          continue;
        }
      }
      // A header with the URL of the client itself is no script.
      if (clientIndex !== -1 && command.words.indexOf(word) > clientIndex) continue;
      if (!CLIENT_IN_TEXT.test(word.text) || nesting >= MAX_NESTING) continue;
      const quote = /["']/.exec(raw);
      if (quote === null) continue;
      this.#script(
        word.start + quote.index + 1,
        Math.max(word.start + quote.index + 1, word.end - 1),
        nesting + 1,
      );
      found = true;
    }
    return found;
  }

  #request(command: Command, clientIndex: number): void {
    const words = command.words.slice(clientIndex + 1);
    const expanded = words.map((word) => this.#expand(word.text));
    const all = expanded.join(' ');
    if (hasOtherCloudHeader(all)) return;
    const at = expanded.findIndex((text, index) => !this.#isOptionValue(words, index) && this.#asks(text));
    if (at === -1) return;
    if (TOKEN_HEADER.test(all)) {
      this.#uncheckedToken(command, baseName(command.words[clientIndex]!.text));
      return;
    }
    if (this.#hasToken && (OPEN_ARGUMENTS.test(all) || words.some(({ text }) => CONFIG_OPTION.test(text))))
      return;
    this.#add('request', command, words[at]!, baseName(command.words[clientIndex]!.text));
  }

  /**
   * curl leaves a header without a value out, so an empty variable makes the request IMDSv1 (measured: curl 7.88.1).
   */
  #uncheckedToken(command: Command, program: string): void {
    if (program !== 'curl' || this.#tokenChecks >= MAX_TOKEN_CHECKS) return;
    this.#tokenChecks += 1;
    for (const word of command.words) {
      if (!goesOnWithoutToken(this.#text, word)) continue;
      this.#sites.push({
        kind: 'unchecked_token',
        start: word.start,
        end: word.end,
        scopeStart: command.start,
        scopeEnd: Math.max(command.end, word.end),
        by: program,
        language: 'shell',
      });
      this.#tokenChecks = MAX_TOKEN_CHECKS;
      return;
    }
  }

  /** Addresses that a client is told not to call, or that it uses for another purpose. */
  #isOptionValue(words: readonly Word[], index: number): boolean {
    return /^(?:--noproxy|--no-proxy|--referer|-e|--resolve|--interface)$/.test(words[index - 1]?.text ?? '');
  }

  #asks(text: string): boolean {
    return findAddresses(text).some((address) => isEc2Address(address, this.#aboutOtherCloud));
  }

  #functionCall(command: Command, program: string, script: Script): void {
    const { start, end } = script.functions.find(({ name }) => name === program)!;
    const calls = script.commands.filter(
      (one) => one.start >= start && one.end <= end && one.words.some(isClient),
    );
    const texts = calls.map((one) => one.words.map(({ text }) => this.#expand(text)).join(' '));
    const sendsToken =
      texts.some((text) => TOKEN_HEADER.test(text)) ||
      (this.#hasToken && texts.some((text) => OPEN_OPTIONS.test(text)));
    const word = command.words.find(({ text }) => this.#asks(this.#expand(text)));
    if (word === undefined || sendsToken) return;
    this.#add(calls.length > 0 ? 'request' : 'address', command, word, program);
  }

  /** A URL in a command that was not recognised as a client, or in a variable that no client here uses. */
  #mention(command: Command): void {
    if (this.#hasToken) return;
    for (const { name, value } of assignmentsOf(command)) {
      if (PROXY_VARIABLE.test(name) || this.#isUsed(name)) continue;
      if (this.#hasUrl(value.text)) this.#add('address', command, value, null);
    }
    if (command.words.length === 0 || isExport(command)) return;
    const word = command.words.find(({ text }) => this.#hasUrl(text));
    if (word !== undefined) this.#add('address', command, word, null);
  }

  #hasUrl(text: string): boolean {
    return findAddresses(text).some(
      (address) =>
        isEc2Address(address, this.#aboutOtherCloud) && (address.isUrl || pathOwner(address.path) === 'ec2'),
    );
  }

  /** True if a client of this file has the variable in its arguments: it is judged there. */
  #isUsed(name: string): boolean {
    return new RegExp(String.raw`\$\{?${name}\b`).test(this.#text);
  }

  #raw(command: Command, target: Word): void {
    if (
      !this.#asks(this.#expand(target.text)) &&
      !/\/dev\/tcp\/(?:169\.254\.169\.254|instance-data)/.test(this.#expand(target.text))
    )
      return;
    if (!this.#hasToken) this.#add('request', command, target, '/dev/tcp');
  }

  /** Source: measured with s3fs 1.90; the client table has the details. */
  #s3fs(command: Command): boolean {
    const raw = command.words.map(({ text }) => this.#expand(text)).join(' ');
    const option = /\bimdsv1only\b|\biam_role=auto\b/.exec(raw);
    if (option === null || !/\bs3fs\b/.test(raw)) return false;
    const word =
      command.words.find(({ text }) => this.#expand(text).includes(option[0])) ?? command.words[0]!;
    this.#sites.push({
      kind: 'client',
      ...placeOf(this.#text, word, option[0]),
      scopeStart: command.start,
      scopeEnd: command.end,
      by: 's3fs',
      language: null,
      clientId: 's3fs',
      why: `The option ${option[0]} makes s3fs ask without a token.`,
    });
    return true;
  }

  #add(kind: 'request' | 'address', command: Command, word: Word, by: string | null): void {
    const address = findAddresses(this.#text, word.start, word.end)[0];
    const start = address === undefined ? word.start : urlStart(this.#text, word.start, address.start);
    this.#sites.push({
      kind,
      start,
      end: Math.min(word.end, address?.end ?? word.end),
      scopeStart: command.start,
      scopeEnd: Math.max(command.end, word.end),
      by,
      language: 'shell',
    });
  }

  /** Replaces variables by what the file assigns to them: first a value with a token's header, then one with the address. */
  #expand(text: string, depth = 0): string {
    if (depth > 5 || !text.includes('$')) return text;
    const expanded = text.replace(
      /\$(?:(\w+)|\{!?(\w+)([^}]*)\})/g,
      (whole, bare?: string, braced?: string, rest = '') => {
        const values = this.#variables.get(bare ?? braced ?? '');
        if (values === undefined) return /^:?-/.test(rest) ? rest.replace(/^:?-/, '') : whole;
        const value =
          values.find((one) => TOKEN_HEADER.test(one)) ??
          values.find((one) => mayHaveAddress(one)) ??
          values.at(-1)!;
        return this.#expand(value, depth + 1).slice(0, MAX_EXPANDED);
      },
    );
    return expanded.slice(0, MAX_EXPANDED);
  }
}
