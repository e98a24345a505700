/** Reads requests of the protocols that AWS's services speak, and writes their answers. */

/** A parameter of the Query protocol with its parts: `Filter.1.Name` is `{ Filter: { 1: { Name } } }`. */
export type Parameter = string | { [key: string]: Parameter };

export interface ApiRequest {
  service: 'ec2' | 'autoscaling' | 'sts' | 'monitoring';
  action: string;
  parameters: { [key: string]: Parameter };
  /** Account of the credentials that signed the request. */
  account: string;
  region: string;
  userAgent: string;
}

/** An error that the cloud answers with. */
export class ApiError extends Error {
  readonly code: string;
  readonly status: number;
  constructor(code: string, message: string, status = 400) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** Splits `a.1.b=x` into its parts. */
export function parameterTree(form: URLSearchParams): { [key: string]: Parameter } {
  const tree: { [key: string]: Parameter } = {};
  for (const [path, value] of form) {
    const keys = path.split('.');
    let node = tree;
    for (const key of keys.slice(0, -1)) {
      const next = node[key];
      if (typeof next === 'object') node = next;
      else {
        const made: { [key: string]: Parameter } = {};
        node[key] = made;
        node = made;
      }
    }
    node[keys.at(-1)!] = value;
  }
  return tree;
}

/** Returns a list in the order of its numbers; `Key.member.1` of Auto Scaling as well as `Key.1` of EC2. */
export function listOf(parameter: Parameter | undefined): Parameter[] {
  if (parameter === undefined) return [];
  if (typeof parameter === 'string') throw new ApiError('MalformedQueryString', 'A list is expected.');
  const inner = parameter['member'];
  const list = typeof inner === 'object' ? inner : parameter;
  return Object.keys(list)
    .sort((a, b) => Number(a) - Number(b))
    .map((key) => list[key]!);
}

export function textOf(parameter: Parameter | undefined): string | null {
  if (parameter === undefined) return null;
  if (typeof parameter !== 'string') throw new ApiError('MalformedQueryString', 'A text is expected.');
  return parameter;
}

export function partsOf(parameter: Parameter | undefined): { [key: string]: Parameter } {
  if (parameter === undefined) return {};
  if (typeof parameter === 'string') throw new ApiError('MalformedQueryString', 'A structure is expected.');
  return parameter;
}

/** Refuses a parameter that the lab's cloud would otherwise ignore silently. */
export function refuseOthers(parameters: { [key: string]: Parameter }, known: readonly string[]): void {
  for (const name of Object.keys(parameters)) {
    if (!known.includes(name)) {
      throw new ApiError('UnknownParameter', `The lab's cloud does not know the parameter ${name}.`);
    }
  }
}

export type Element = string | number | boolean | Date | null | undefined | Element[] | ElementParts;
export interface ElementParts {
  [name: string]: Element;
}

/** Writes elements; `item` is the name of a list's entries: `item` in EC2, `member` elsewhere. */
export function xml(name: string, value: Element, item: string): string {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) {
    return `<${name}>${value.map((entry) => xml(item, entry, item)).join('')}</${name}>`;
  }
  if (value instanceof Date) return `<${name}>${value.toISOString()}</${name}>`;
  if (typeof value === 'object') {
    const inner = Object.entries(value).map(([key, entry]) => xml(key, entry, item));
    return `<${name}>${inner.join('')}</${name}>`;
  }
  return `<${name}>${escaped(String(value))}</${name}>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Returns a page of `all`, and the token of the next. Pages come in an order that is not that of the list. */
export function pageOf<T>(
  all: readonly T[],
  token: string | null,
  size: number,
): { page: T[]; next: string | null } {
  // A fixed step that has no factor in common with the length visits every entry once.
  const step = [7, 5, 3, 2, 1].find((candidate) => gcd(candidate, all.length) === 1) ?? 1;
  const shuffled = all.map((_, index) => all[(index * step) % all.length]!);
  const from = token === null ? 0 : Number(token.replace('page-', ''));
  const next = from + size < shuffled.length ? `page-${from + size}` : null;
  return { page: shuffled.slice(from, from + size), next };
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
