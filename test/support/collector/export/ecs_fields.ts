/** A check of documents against the published fields of ECS 9.4 that imdswatch writes, with their types. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';

interface Field {
  type: string;
  array?: boolean;
  /** Allowed values; of `event.category` with the types of events that each may have. */
  values?: Record<string, string[]>;
}
const file = new URL('../../fixtures/ecs-9.4.0.json', import.meta.url);
const { fields } = JSON.parse(readFileSync(file, 'utf8')) as { fields: Record<string, Field> };

/** Returns what is wrong with a document: empty where it is valid. */
export function ecsErrors(document: Record<string, unknown>): string[] {
  const errors: string[] = [];
  const visit = (value: unknown, path: string): void => {
    if (/^(imds|imdswatch)$/.test(path)) {
      errors.push(...ownErrors(value, path));
      return;
    }
    const field = fields[path];
    if (field !== undefined) {
      errors.push(...fieldErrors(value, field).map((error) => `${path} ${error}`));
    } else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const [key, each] of Object.entries(value)) visit(each, path === '' ? key : `${path}.${key}`);
    } else errors.push(`${path} is no field of ECS`);
  };
  visit(document, '');
  const event = document['event'] as { category?: string[]; type?: string[] };
  const [category, type] = [[event.category ?? []].flat(), [event.type ?? []].flat()];
  const categories = fields['event.category']!.values!;
  for (const each of type) {
    if (!category.some((name) => categories[name]?.includes(each)))
      errors.push(`type ${each} fits no category`);
  }
  for (const name of ['@timestamp', 'ecs', 'event', 'data_stream']) {
    if (!(name in document)) errors.push(`${name} is missing`);
  }
  return errors;
}

function fieldErrors(value: unknown, { type, array = false, values }: Field): string[] {
  if (type === 'object') return ownErrors(value, 'object').concat(isFlat(value) ? [] : ['has objects in it']);
  if (array !== Array.isArray(value)) return [array ? 'is no array' : 'is an array'];
  const list = array ? (value as unknown[]) : [value];
  return list.flatMap((each) => {
    if (!hasType(each, type)) return [`${JSON.stringify(each)} is no ${type}`];
    return values !== undefined && !Object.hasOwn(values, String(each)) ? [`${each} is not allowed`] : [];
  });
}

function hasType(value: unknown, type: string): boolean {
  switch (type) {
    case 'long':
      return typeof value === 'number' && Number.isSafeInteger(value);
    case 'ip':
      return typeof value === 'string' && isIP(value) !== 0;
    case 'date':
      return typeof value === 'string' && !Number.isNaN(Date.parse(value));
    case 'keyword':
    case 'constant_keyword':
    case 'wildcard':
    case 'match_only_text':
      return typeof value === 'string';
    default:
      return false;
  }
}

/** Our own fields: a name with a dot would become an object, and null has no type. */
function ownErrors(value: unknown, path: string): string[] {
  if (value === null || value === undefined) return [`${path} has no value`];
  if (typeof value !== 'object') return [];
  if (Array.isArray(value)) return value.flatMap((each) => ownErrors(each, path));
  return Object.entries(value).flatMap(([key, each]) => [
    ...(key.includes('.') ? [`${path}.${key} has a dot in its name`] : []),
    ...ownErrors(each, `${path}.${key}`),
  ]);
}

function isFlat(value: unknown): boolean {
  return Object.values(value as object).every((each) => typeof each === 'string');
}
