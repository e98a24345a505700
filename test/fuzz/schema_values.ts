/** Values for a JSON schema of the OpenAPI document: those that fit, those at its bounds, and those that are hostile. */
import fc from 'fast-check';

export interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  format?: string;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  oneOf?: Schema[];
  anyOf?: Schema[];
}
export type Schemas = Record<string, Schema>;

const LONG = 3_000;
const MOST_ITEMS = 4;
/** Nobody is there: an alert that is sent to it goes nowhere. */
const NOWHERE = 'fuzz.invalid';

export const HOSTILE_TEXTS = [
  '',
  ' ',
  '\u0000',
  '\u0085\u009b31m',
  '\u001b]0;title\u0007',
  '\ud800',
  '\udc00x',
  '\u202e\ufeff\u200b',
  "' OR 1=1 --",
  '"; DROP TABLE hosts; --',
  '%',
  '_%',
  '../../../../etc/passwd',
  '..\\..\\',
  '<script>alert(1)</script>',
  '=cmd|/c calc',
  '{{7*7}}',
  '$' + '{7*7}',
  '__proto__',
  'constructor',
  'toString',
  '-1',
  '0',
  '1e309',
  'NaN',
  '9007199254740993',
  '-0',
  '0x10',
  'null',
  'true',
  '[]',
  '9999-12-31T23:59:59Z',
  '0000-01-01T00:00:00Z',
  '2026-02-30T00:00:00Z',
  '2026-01-01T00:00:00+23:59',
  '2026-01-01T00:00:60Z',
  '+275760-09-13T00:00:00Z',
  'a'.repeat(LONG),
  '\u{1f600}'.repeat(400),
  'e\u0301'.repeat(300),
  'tag:',
  ':',
  'eyJvZiI6IiIsInNpbmNlIjoxfQ',
] as const;

const HOSTILE_VALUES: unknown[] = [
  null,
  true,
  -1,
  0,
  1.5,
  2 ** 53,
  -(2 ** 53),
  1e308,
  [],
  {},
  [[[[[[[[]]]]]]]],
  { toString: 1, constructor: { prototype: {} } },
];

export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...HOSTILE_TEXTS),
  fc.string({ maxLength: 40, unit: 'binary' }),
);

export const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  hostileText,
  fc.constantFrom(...HOSTILE_VALUES),
  fc.double(),
  fc.jsonValue({ maxDepth: 4 }),
);

/** Values that fit the schema; also what stands just beyond its bounds where it has any. */
export function valueFor(schema: Schema, schemas: Schemas): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) return valueFor(schemas[schema.$ref.split('/').at(-1)!]!, schemas);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices !== undefined) return fc.oneof(...choices.map((choice) => valueFor(choice, schemas)));
  if (Array.isArray(schema.type)) {
    return fc.oneof(...schema.type.map((type) => valueFor({ ...schema, type }, schemas)));
  }
  switch (schema.type) {
    case 'object':
      return objectOf(schema, schemas);
    case 'array':
      return fc.array(valueFor(schema.items ?? {}, schemas), {
        minLength: Math.min(schema.minItems ?? 0, MOST_ITEMS),
        maxLength: MOST_ITEMS,
      });
    case 'integer':
    case 'number':
      return numberOf(schema);
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'string':
      return textOf(schema);
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

function objectOf({ properties = {}, required = [] }: Schema, schemas: Schemas): fc.Arbitrary<unknown> {
  const values = Object.fromEntries(
    Object.entries(properties).map(([name, property]) => [name, valueFor(property, schemas)]),
  );
  return fc.record(values, { requiredKeys: required.filter((name) => name in values) });
}

function numberOf({ minimum = -1000, maximum = minimum + 100_000 }: Schema): fc.Arbitrary<unknown> {
  return fc.oneof(
    fc.integer({ min: Math.ceil(minimum), max: Math.floor(maximum) }),
    fc.constantFrom(minimum, maximum, minimum - 1, maximum + 1, minimum + 0.5),
  );
}

function textOf({ format, pattern, minLength = 0, maxLength }: Schema): fc.Arbitrary<string> {
  switch (format) {
    case 'date-time':
      return fc
        .date({
          min: new Date('2020-01-01T00:00:00Z'),
          max: new Date('2030-01-01T00:00:00Z'),
          noInvalidDate: true,
        })
        .map((date) => date.toISOString());
    case 'uuid':
      return fc.uuid();
    case 'email':
      return fc.constantFrom(`someone@${NOWHERE}`, `a.b+c@${NOWHERE}`);
    case 'uri':
      return fc.constantFrom(`https://${NOWHERE}/`, `http://${NOWHERE}:1/x?y=z`, `ftp://${NOWHERE}/`);
    default:
  }
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern));
  const most = maxLength ?? 60;
  return fc.oneof(
    fc.string({ minLength, maxLength: Math.min(most, 60) }),
    fc.constantFrom('x'.repeat(Math.min(most, LONG)), 'x'.repeat(Math.min(most + 1, LONG)), NOWHERE),
  );
}

/** A value that fits, of which one part somewhere was replaced, removed or added. */
export function spoilt(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc
    .tuple(value, fc.nat(), hostileValue, fc.constantFrom('replace', 'remove', 'add', 'repeat'))
    .map(([whole, where, hostile, how]) => spoil(structuredClone(whole), where, hostile, how));
}

type How = 'replace' | 'remove' | 'add' | 'repeat';

function spoil(whole: unknown, where: number, hostile: unknown, how: How): unknown {
  const places: { holder: Record<string, unknown>; key: string }[] = [];
  const visit = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return;
    const holder = value as Record<string, unknown>;
    for (const key of Object.keys(holder)) {
      places.push({ holder, key });
      visit(holder[key]);
    }
  };
  visit(whole);
  const place = places[where % Math.max(1, places.length)];
  if (place === undefined) return hostile;
  const { holder, key } = place;
  if (how === 'remove') delete holder[key];
  else if (how === 'replace') holder[key] = hostile;
  else if (how === 'repeat') holder[key] = Array.from({ length: 200 }, () => holder[key] ?? hostile);
  else holder[typeof hostile === 'string' ? hostile : 'unknown'] = hostile;
  return whole;
}
