/**
 * Asks an API everything that its own document says can be asked: each GET route, each parameter with each value of its
 * enumeration or of the table below, each format, and every page to the end. A route or parameter that this does not know
 * how to ask is an error, so that a new one is not forgotten.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TOKENS } from './both_stores.ts';

interface Parameter {
  in: 'path' | 'query';
  name: string;
  required?: boolean;
  schema: { enum?: string[]; items?: { enum?: string[] } };
}
interface ApiDocument {
  paths: Record<
    string,
    { get?: { parameters?: Parameter[]; responses: Record<string, { content?: Record<string, unknown> }> } }
  >;
}
interface Item {
  id: string;
  [name: string]: unknown;
}

/**
 * The list of what may differ: routes whose answers are about the collector or the store itself, and not about what is stored. Besides
 * these it is one character: PostgreSQL cannot hold U+0000 in a text and has U+FFFD in place of it, so the data has none.
 */
export const NOT_ASKED: Readonly<Record<string, string>> = {
  '/metrics': 'has the numbers of the collector: requests, memory, the size of the store',
  '/api/v1/storage': 'says what kind of store it is and where',
  '/api/v1/live': 'does not end, and has only what arrives meanwhile',
  '/api/v1/calls/arrivals': 'has calls in the order in which this store got them, with its own marks',
};

/** Lists are asked by pages of one item, and in each order, but not to their end. */
const SMALLEST_PAGE = '1';
const FIRST_PAGES = 2;
/** Pages of a list are asked to their end by this size. */
const PAGE_LIMIT = '40';
const PLACE = 'account=111122223333&region=eu-central-1';
/** Values of parameters without an enumeration, by their names. Each is asked alone. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  from: ['2026-11-18T06:30:00Z', '2026-11-20T08:00:00.000001Z'],
  to: ['2026-11-19T06:30:00Z'],
  days: ['3', '3650'],
  host: ['i-Apple', 'i-\u{1f512}'],
  account: ['111122223333'],
  region: ['eu-west-1'],
  zone: ['eu-west-1a'],
  type: ['t3.micro'],
  image_id: [''],
  tag: ['team', 'team:äpfel'],
  text: ['ÄPFEL', 'a_b'],
  image: [''],
  unit: ['cron.service'],
  namespace: [''],
  user: ['Apple'],
  client: ['boto3'],
  owner: ['Zoë'],
  path: ['/PATH_%', '\ufffd', 'äpfel'],
  limit: [SMALLEST_PAGE, PAGE_LIMIT],
  group: ['asg:ä'],
  wave: ['1'],
};
/** Values for one route only. */
const VALUES_OF_ROUTE: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  '/api/v1/groups': {
    by: ['asg', 'template', 'image', 'account', 'zone', 'tag:team'],
  },
  '/api/v1/readiness/groups': { by: ['account', 'image_id', 'tag:team'] },
};
/** Whole queries of routes that need several parameters at the same time. */
const QUERIES: Readonly<Record<string, readonly string[]>> = {
  '/api/v1/enforcement/group': [
    `id=asg%3Agroup-1&${PLACE}`,
    `id=tag%3Ateam%3Dshop&${PLACE}`,
    'id=asg%3Agroup-Apple&account=222233334444&region=eu-west-1',
  ],
  '/api/v1/enforcement/new-hosts': [
    `${PLACE}&since=2026-11-01T00:00:00Z`,
    'account=222233334444&region=eu-west-1&since=2026-11-20T00:00:00Z',
  ],
  '/api/v1/enforcement/plans': [
    'type=instance&account=111122223333&region=eu-central-1&id=i-00000000000000001&except=p-000000000000',
  ],
};
/** Lists whose ids stand in the place of `{id}`, and in parameters that name workloads. */
const LISTS: Readonly<Record<string, readonly string[]>> = {
  offenders: ['/api/v1/offenders?days=3650&limit=1000'],
  hosts: ['/api/v1/hosts?days=3650&limit=1000'],
  groups: [...['asg', 'tag:team'].map((by) => `/api/v1/groups?by=${by}&limit=1000`)],
  plans: ['/api/v1/plans'],
  explanations: ['/api/v1/offenders?days=3650&limit=1000'],
};
/** Details are asked of so many ids of each list. */
const IDS_ASKED = 3;
const MOST_PAGES = 100;
const MOST_ATTEMPTS = 100;
const ATTEMPT_MS = 200;

/** Answers by question: status, content type and body, byte for byte. */
export type Answers = Map<string, string>;

export async function answersOfApi(origin: string): Promise<Answers> {
  const asker = new Asker(origin);
  const document = JSON.parse(await asker.ask('/api/v1/openapi.json')) as ApiDocument;
  const ids: Record<string, string[]> = {};
  for (const [list, paths] of Object.entries(LISTS)) {
    ids[list] = [];
    for (const path of paths) {
      const { items } = JSON.parse(await asker.ask(path)) as { items: Item[] };
      ids[list].push(...items.map(({ id }) => id));
    }
  }
  for (const [route, { get }] of Object.entries(document.paths)) {
    if (get === undefined || route in NOT_ASKED) continue;
    const queries = queriesOf(route, get.parameters ?? [], ids);
    // The header Accept fetches the same again where a parameter names the format.
    const hasFormat = get.parameters?.some(({ name }) => name === 'format') === true;
    const types = Object.keys(get.responses['200']?.content ?? {});
    const paths = pathsOf(route, ids);
    for (const [at, path] of paths.entries()) {
      // One detail is asked everything.
      for (const query of at === 0 ? queries : queries.slice(0, 1)) await asker.askPages(path, query);
      for (const type of hasFormat ? [] : types.slice(1)) await asker.ask(addressOf(path, queries[0]!), type);
    }
    const found = paths.some((path) => asker.answers.get(addressOf(path, queries[0]!))?.startsWith('200 '));
    if (!found) throw new Error(`${route} found nothing: change its values.`);
  }
  return asker.answers;
}

function addressOf(path: string, query: string): string {
  return query === '' ? path : `${path}?${query}`;
}

/** Returns the addresses of a route: itself, or one for each id. */
function pathsOf(route: string, ids: Record<string, string[]>): string[] {
  if (!route.includes('{')) return [route];
  const list = /(\w+)\/\{id\}/.exec(route)?.[1];
  const known = list === undefined ? undefined : ids[list];
  if (known === undefined) throw new Error(`${route}: add where its ids come from to LISTS.`);
  const step = Math.max(1, Math.ceil(known.length / IDS_ASKED));
  return known.filter((_, at) => at % step === 0).map((id) => route.replace('{id}', encodeURIComponent(id)));
}

/** Returns queries so that each parameter has each of its values once. */
function queriesOf(route: string, parameters: readonly Parameter[], ids: Record<string, string[]>): string[] {
  const listed = QUERIES[route];
  if (listed !== undefined) return [...listed];
  const asked = parameters.filter(({ in: where, name }) => where === 'query' && name !== 'cursor');
  const valuesOf = ({ name, schema }: Parameter) =>
    VALUES_OF_ROUTE[route]?.[name] ??
    schema.enum ??
    schema.items?.enum ??
    (name === 'offender' ? ids['offenders']!.slice(0, 3) : VALUES[name]);
  const required = new URLSearchParams();
  for (const parameter of asked.filter((each) => each.required)) {
    required.set(parameter.name, valuesOf(parameter)?.[0] ?? '');
  }
  const queries = [`${required}`];
  for (const parameter of asked) {
    const values = valuesOf(parameter);
    if (values === undefined) {
      throw new Error(`${route}: add values of the parameter ${parameter.name} to VALUES.`);
    }
    for (const chosen of choicesOf(parameter, values)) {
      const query = new URLSearchParams(required);
      query.delete(parameter.name);
      for (const value of chosen) query.append(parameter.name, value);
      // A new key is in the order of another list, and so are its pages.
      if (parameter.name === 'sort') query.set('limit', PAGE_LIMIT);
      queries.push(`${query}`);
    }
  }
  const names = new Set(asked.map(({ name }) => name));
  if (names.has('from') && names.has('to'))
    queries.push(`${required}&from=${VALUES['from']![0]}&to=${VALUES['to']![0]}`);
  return queries;
}

/** Returns the sets of values that a parameter is asked with: each value, or two halves of an enumeration of many filters. */
function choicesOf({ schema }: Parameter, values: readonly string[]): string[][] {
  if (schema.items?.enum === undefined) return values.map((value) => [value]);
  const halves = [0, 1].map((half) => values.filter((_, at) => at % 2 === half));
  return halves.filter((half) => half.length > 0);
}

class Asker {
  readonly answers: Answers = new Map();
  readonly #origin: string;

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** Asks a list, page by page where the query has a limit. */
  async askPages(path: string, query: string): Promise<void> {
    let cursor: string | null = null;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const place: string = cursor === null ? '' : `cursor=${encodeURIComponent(cursor)}`;
      const body = await this.ask(addressOf(path, [query, place].filter((part) => part !== '').join('&')));
      // Other formats have no pages.
      const isPage = (new URLSearchParams(query).get('format') ?? 'json') === 'json';
      cursor = isPage ? ((JSON.parse(body) as { next?: string | null }).next ?? null) : null;
      if (cursor === null) return;
      const limit = new URLSearchParams(query).get('limit');
      const isWhole = limit === PAGE_LIMIT && !query.includes('sort=');
      if (limit === null || (!isWhole && page + 1 >= FIRST_PAGES)) return;
    }
    throw new Error(`${path}?${query} has more than ${MOST_PAGES} pages.`);
  }

  /** Returns the body. The answer must be 200 or 404. */
  async ask(path: string, accept = 'application/json'): Promise<string> {
    for (let attempt = 0; ; attempt += 1) {
      const token = TOKENS[(this.answers.size + attempt) % TOKENS.length]!;
      const response = await fetch(`${this.#origin}${path}`, {
        headers: { authorization: `Bearer ${token}`, accept },
      });
      const body = Buffer.from(await response.arrayBuffer()).toString('utf8');
      // The limits of the API, and a database that did not answer on a busy machine, pass by themselves.
      if ([429, 503].includes(response.status) && attempt < MOST_ATTEMPTS) {
        await sleep(ATTEMPT_MS);
        continue;
      }
      const type = response.headers.get('content-type');
      // A host or a group may have nothing in a window.
      if (response.status !== 200 && response.status !== 404) {
        throw new Error(`GET ${path} answered ${response.status}: ${body}`);
      }
      const question = accept === 'application/json' ? path : `${path} as ${accept}`;
      this.answers.set(question, `${response.status} ${type}\n${body}`);
      return body;
    }
  }
}
