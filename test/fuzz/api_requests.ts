/** Requests to the collector's API, made from its own OpenAPI document: good ones, and ones that are not. */
import fc from 'fast-check';
import { hostileText, type Schema, type Schemas, spoilt, valueFor } from './schema_values.ts';

interface Parameter {
  name: string;
  in: 'query' | 'path' | 'header';
  required?: boolean;
  schema: Schema;
}

export interface Operation {
  parameters?: Parameter[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
}

export interface ApiDocument {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Schemas };
}

export const ROLES = ['nobody', 'viewer', 'admin', 'wrong'] as const;
export type Role = (typeof ROLES)[number];

export interface FuzzRequest {
  method: string;
  /** Text as the document has it. */
  template: string;
  path: string;
  role: Role;
  headers: Record<string, string>;
  body: string | null;
}

/** Bodies that a person's program may send besides good ones. */
const BAD_BODIES = [
  '',
  '{',
  'null',
  '[]',
  '"text"',
  '1e999',
  '{"a":1,"a":2}',
  '\ufeff{}',
  `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
  `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`,
  '{"__proto__":{"role":"admin"},"constructor":{"prototype":{"role":"admin"}}}',
  `"${'x'.repeat(70_000)}"`,
];
const CONTENT_TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'text/plain',
  'application/xml',
  '',
];
const ACCEPTS = [
  'application/json',
  'text/csv',
  'application/x-ndjson',
  '*/*',
  'text/html;q=0.1',
  ',;=',
  'x',
];

/** Known ids make requests that find something. */
export function requestOf(document: ApiDocument, ids: readonly string[]): fc.Arbitrary<FuzzRequest> {
  const operations = Object.entries(document.paths).flatMap(([template, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ template, method, operation })),
  );
  return fc.oneof(
    ...operations.map(({ template, method, operation }) => {
      const { parameters = [], requestBody } = operation;
      const schemas = document.components.schemas;
      const schema = requestBody?.content['application/json']?.schema;
      return fc
        .record({
          role: fc.constantFrom<Role>('viewer', 'admin', 'admin', 'admin', 'nobody', 'wrong'),
          path: pathOf(template, parameters, schemas, ids),
          query: queryOf(parameters, schemas, ids),
          body: schema === undefined ? strayBody : bodyOf(schema, schemas),
          accept: fc.constantFrom(...ACCEPTS),
          type: fc.oneof(
            { weight: 9, arbitrary: fc.constant(CONTENT_TYPES[0]!) },
            fc.constantFrom(...CONTENT_TYPES),
          ),
        })
        .map(({ role, path, query, body, accept, type }): FuzzRequest => {
          const headers: Record<string, string> = { accept };
          if (body !== null) headers['content-type'] = type;
          return { method: method.toUpperCase(), template, path: `${path}${query}`, role, headers, body };
        });
    }),
  );
}

const strayBody = fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, fc.constantFrom(...BAD_BODIES));

function bodyOf(schema: Schema, schemas: Schemas): fc.Arbitrary<string | null> {
  const good = valueFor(schema, schemas);
  return fc.oneof(
    { weight: 4, arbitrary: good.map((value) => JSON.stringify(value)) },
    { weight: 6, arbitrary: spoilt(good).map((value) => JSON.stringify(value) ?? '') },
    { weight: 1, arbitrary: fc.constantFrom(...BAD_BODIES) },
    { weight: 1, arbitrary: fc.constant(null) },
  );
}

function pathOf(
  template: string,
  parameters: readonly Parameter[],
  schemas: Schemas,
  ids: readonly string[],
): fc.Arbitrary<string> {
  const values = parameters
    .filter(({ in: place }) => place === 'path')
    .map(({ name, schema }) => textFor(schema, schemas, ids).map((text) => ({ name, text })));
  return fc.tuple(...values).map((filled) =>
    filled.reduce((path, { name, text }) => {
      // `.` and `..` would be taken for steps of the path, by this side already.
      return path.replace(`{${name}}`, encoded(text).replaceAll('.', '%2E'));
    }, template),
  );
}

function queryOf(
  parameters: readonly Parameter[],
  schemas: Schemas,
  ids: readonly string[],
): fc.Arbitrary<string> {
  const known = parameters
    .filter(({ in: place }) => place === 'query')
    .map(({ name, required, schema }) => {
      const value = textFor(schema.items ?? schema, schemas, ids);
      const several = fc.array(value, { minLength: 1, maxLength: schema.type === 'array' ? 4 : 2 });
      const pairs = several.map((texts) => texts.map((text) => [name, text]));
      return fc.oneof(
        { weight: required === true ? 1 : 6, arbitrary: fc.constant([]) },
        { weight: required === true ? 9 : 1, arbitrary: value.map((text) => [[name, text]]) },
        { weight: 1, arbitrary: pairs },
      );
    });
  const stray = fc.oneof(
    { weight: 12, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.tuple(hostileText, hostileText).map((pair) => [[...pair]]) },
  );
  return fc.tuple(stray, ...known).map((lists) => {
    const pairs = lists.flat() as string[][];
    return pairs.length === 0 ? '' : `?${pairs.map((pair) => pair.map(encoded).join('=')).join('&')}`;
  });
}

function textFor(schema: Schema, schemas: Schemas, ids: readonly string[]): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 5, arbitrary: valueFor(schema, schemas).map(String) },
    { weight: 2, arbitrary: fc.constantFrom(...ids) },
    { weight: 3, arbitrary: hostileText },
  );
}

/** Encodes like `encodeURIComponent`, also text that is no well-formed Unicode: three bytes that are no UTF-8. */
function encoded(text: string): string {
  return text.isWellFormed()
    ? encodeURIComponent(text)
    : [...text].map((part) => (part.isWellFormed() ? encodeURIComponent(part) : '%ED%A0%80')).join('');
}
