/**
 * Recognises the SDK or tool that a workload uses. A user agent can be missing or misleading: SDKs for
 * JavaScript send none, or only with some calls, and many tools send that of their HTTP library. The program
 * itself is therefore looked at first.
 */
import type { Client } from './client.ts';
import { HTTP_LIBRARIES } from './http_libraries.ts';
import type { Language } from './step.ts';
import { CLIENTS, clientOf } from './table.ts';

/** One `name/version` of a user agent. */
export interface Product {
  name: string;
  version: string | null;
  client: Client | null;
  /** Language of the code that calls an HTTP library. */
  language: Language | null;
  mayBe: readonly Client[];
  /** The old SDK that shows as this library when it reads credentials. */
  sdkBehind: Client | null;
}

/**
 * Every question brings the same few texts. They come from hosts, so their number and length must be bounded.
 */
const MAX_REMEMBERED = 5000;
const MAX_REMEMBERED_CHARACTERS = 500;
const remembered = new Map<string, readonly Product[]>();

/** Returns the products that a user agent names, the one that says most first. */
export function productsOf(userAgent: string): readonly Product[] {
  const known = remembered.get(userAgent);
  if (known !== undefined) return known;
  const products = readProducts(userAgent);
  if (userAgent.length > MAX_REMEMBERED_CHARACTERS) return products;
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(userAgent, products);
  return products;
}

function readProducts(userAgent: string): Product[] {
  const clients = CLIENTS.flatMap((client): Product[] => {
    const match = firstMatch(client.userAgents, userAgent);
    if (match === null) return [];
    const { name, language } = client;
    return [{ name, version: match[1] || null, client, language, mayBe: [], sdkBehind: null }];
  });
  const libraries = new Map<string, Product>();
  for (const { pattern, name, language, mayBe, sdkBehind } of HTTP_LIBRARIES) {
    const match = libraries.has(name) ? null : pattern.exec(userAgent);
    if (match === null) continue;
    const version = match[1] || null;
    libraries.set(name, {
      ...{ name, version, client: null, language },
      mayBe: mayBe.map(clientOf),
      sdkBehind: sdkBehind === null ? null : clientOf(sdkBehind),
    });
  }
  return [...clients, ...libraries.values()];
}

function firstMatch(patterns: readonly RegExp[], text: string): RegExpExecArray | null {
  for (const pattern of patterns) {
    const match = pattern.exec(text);
    if (match !== null) return match;
  }
  return null;
}

const INTERPRETERS: readonly [pattern: RegExp, language: Language][] = [
  [/(^|\/)(python|pypy)[\d.]*$/, 'python'],
  [/(^|\/)node(js)?[\d.]*$/, 'javascript'],
  [/(^|\/)java$/, 'java'],
  [/(^|\/)ruby[\d.]*$/, 'ruby'],
  [/(^|\/)php(-fpm|-cgi)?[\d.]*$/, 'php'],
  [/(^|\/)perl[\d.]*$/, 'perl'],
  [/(^|\/)(bash|dash|sh|zsh|ksh|busybox|curl|wget2?|nc(\.\w+)?)$/, 'shell'],
];

/** A program: paths, or the kernel's name where the executable is not known, and the image's repository. */
export interface Program {
  executable: string | null;
  name: string | null;
  script: string | null;
  image: string | null;
  /** The program that called for it, such as `/usr/bin/ec2-metadata`. */
  helper?: string | null;
}

/** Returns the tool that this program is, whatever its user agent says. */
export function toolOf({ executable, name, script, image, helper = null }: Program): Client | null {
  for (const text of [executable ?? name, script, image, helper]) {
    if (text === null) continue;
    const found = CLIENTS.find(({ programs }) => programs.some((pattern) => pattern.test(text)));
    if (found !== undefined) return found;
  }
  return null;
}

/** Returns the language of the program if an interpreter runs it. A helper such as `nc` is run by a script. */
export function languageOf({ executable, name, helper = null }: Program): Language | null {
  const program = helper ?? executable ?? name;
  if (program === null) return null;
  return INTERPRETERS.find(([pattern]) => pattern.test(program))?.[1] ?? null;
}
