/** Reads questions from query strings. */
import { z } from '@hono/zod-openapi';
import { DAY_US, type Window } from '../contract/window.ts';
import type { HostFilter, Question } from '../insight/question.ts';
import { toMicroseconds } from '../store/time.ts';
import { badField } from './problem.ts';

const SECOND_US = 1_000_000;
const MAX_WINDOW_DAYS = 3650;
const MAX_VALUES = 100;
const MAX_VALUE_CHARACTERS = 500;
export const MAX_LIMIT = 1000;
export const DEFAULT_LIMIT = 100;

export const shortText = z.string().max(MAX_VALUE_CHARACTERS);
/** A parameter that may be repeated. An item matches if it has one of the values. */
export function repeatable<T extends z.ZodType>(value: T) {
  return z.preprocess(
    (input) => (input === undefined || Array.isArray(input) ? input : [input]),
    z.array(value).max(MAX_VALUES).optional(),
  );
}

const moment = z.iso.datetime({ offset: true });
/** Shape of the id of a workload. */
export const workloadId = z.string().regex(/^[0-9a-f]{16}$/, 'must be 16 hexadecimal digits');

export const windowQuery = {
  from: moment.optional().describe('Start of the window, RFC 3339. Cannot be combined with `days`.'),
  to: moment.optional().describe('End of the window, RFC 3339. Default: now.'),
  days: z.coerce
    .number<string>()
    .int()
    .min(1)
    .max(MAX_WINDOW_DAYS)
    .optional()
    .describe('Length of the window in days, counted back from `to`.'),
};
export type WindowQuery = z.output<z.ZodObject<typeof windowQuery>>;

export const hostQuery = {
  host: repeatable(shortText).describe('Ids of hosts.'),
  account: repeatable(shortText).describe(
    'Accounts. An empty value matches hosts whose account is not known.',
  ),
  region: repeatable(shortText).describe('Regions. An empty value matches hosts whose region is not known.'),
  zone: repeatable(shortText).describe(
    'Availability zones. An empty value matches hosts whose zone is not known.',
  ),
  type: repeatable(shortText).describe(
    'Instance types. An empty value matches hosts whose type is not known.',
  ),
  image_id: repeatable(shortText).describe(
    'Images of instances. An empty value matches hosts whose image is not known.',
  ),
  tag: repeatable(shortText).describe(
    '`KEY:VALUE`, or `KEY` for any value. If it is repeated, all must match.',
  ),
};
type HostQuery = z.output<z.ZodObject<typeof hostQuery>>;

export const pageQuery = {
  limit: z.coerce
    .number<string>()
    .int()
    .min(1)
    .max(MAX_LIMIT)
    .optional()
    .describe(`Number of items of one answer. Default: ${DEFAULT_LIMIT}.`),
  cursor: z.string().max(2000).optional().describe('The value of `next` in the previous answer.'),
};

/**
 * Returns the window of a query. Now is rounded up to a whole second, so that everything stored by now is in
 * the window, and people who ask in the same second ask the same question. Throws `Problem` (400).
 */
export function windowOf(query: WindowQuery, defaultDays: number, nowMs: number): Window {
  if (query.from !== undefined && query.days !== undefined) {
    throw badField('query', 'days', 'cannot be combined with from');
  }
  const untilUs =
    query.to === undefined ? Math.ceil(nowMs / 1000) * SECOND_US : momentUs('to', query.to, nowMs);
  const sinceUs =
    query.from === undefined
      ? untilUs - (query.days ?? defaultDays) * DAY_US
      : momentUs('from', query.from, nowMs);
  if (sinceUs >= untilUs) throw badField('query', 'from', 'must be before the end of the window');
  if (untilUs - sinceUs > MAX_WINDOW_DAYS * DAY_US) {
    throw badField('query', 'from', `the window must not be longer than ${MAX_WINDOW_DAYS} days`);
  }
  return { sinceUs, untilUs };
}

function momentUs(field: string, text: string, nowMs: number): number {
  const utc = text.endsWith('Z') ? text : new Date(text).toISOString();
  const us = toMicroseconds(utc);
  if (us < 0 || us > (nowMs + MAX_WINDOW_DAYS * 86_400_000) * 1000) {
    throw badField('query', field, 'is before 1970, or too far in the future');
  }
  return us;
}

export function questionOf(query: WindowQuery, defaultDays: number, nowMs: number = Date.now()): Question {
  return { window: windowOf(query, defaultDays, nowMs) };
}

export function hostFilterOf(query: Partial<HostQuery>): HostFilter {
  const orUnknown = (values: string[]) => values.map((value) => (value === '' ? null : value));
  return {
    ...(query.host && { ids: query.host }),
    ...(query.account && { accounts: orUnknown(query.account) }),
    ...(query.region && { regions: orUnknown(query.region) }),
    ...(query.zone && { zones: orUnknown(query.zone) }),
    ...(query.type && { types: orUnknown(query.type) }),
    ...(query.image_id && { imageIds: orUnknown(query.image_id) }),
    ...(query.tag && { tags: query.tag.map(tagOf) }),
  };
}

function tagOf(text: string): { key: string; value: string | null } {
  const colon = text.indexOf(':');
  const key = colon === -1 ? text : text.slice(0, colon);
  if (key === '') throw badField('query', 'tag', 'must be KEY:VALUE or KEY');
  return { key, value: colon === -1 ? null : text.slice(colon + 1) };
}
