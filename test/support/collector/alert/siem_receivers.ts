/**
 * Strict stand-ins of receivers of streams, made from the contract that each one documents: required fields, limits,
 * authentication, codes of answers. They refuse what the real one would refuse, and report what it would cut.
 */
import { isIP } from 'node:net';
import { gunzipSync } from 'node:zlib';
import * as z from 'zod';
import { ecsErrors } from '../export/ecs_fields.ts';
import type { Received } from './http_receiver.ts';

export interface Answer {
  status: number;
  body?: unknown;
  /** Names of fields that the real receiver accepts and cuts. */
  cut?: string[];
}
export type Receiver = (request: Received) => Answer;

/** Returns the body without compression. */
export function plainBody({ headers, body }: Pick<Received, 'headers' | 'body'>): string {
  return (headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString();
}

export const rfc3339 = z.iso.datetime({ offset: true });

/** Splits JSON values that follow each other without a separator. Throws where one is no JSON. */
export function concatenated(text: string): unknown[] {
  const values: unknown[] = [];
  let [depth, begin, isText] = [0, 0, false];
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (isText) {
      if (character === '\\') at += 1;
      else if (character === '"') isText = false;
    } else if (character === '"') isText = true;
    else if (character === '{' || character === '[') depth += 1;
    else if ((character === '}' || character === ']') && --depth === 0) {
      values.push(JSON.parse(text.slice(begin, at + 1)));
      begin = at + 1;
    }
  }
  if (text.slice(begin).trim() !== '') throw new Error('The text does not end with a value.');
  return values;
}

const HEC_TEXTS: Readonly<Record<number, [status: number, text: string]>> = {
  ...{ 0: [200, 'Success'], 2: [401, 'Token is required'], 3: [401, 'Invalid authorization'] },
  ...{ 4: [403, 'Invalid token'], 5: [400, 'No data'], 6: [400, 'Invalid data format'] },
  ...{ 7: [400, 'Incorrect index'], 9: [503, 'Server is busy'], 10: [400, 'Data channel is missing'] },
  ...{ 11: [400, 'Invalid data channel'], 12: [400, 'Event field is required'] },
  ...{ 13: [400, 'Event field cannot be blank'], 15: [400, 'Error in handling indexed fields'] },
};
const hec = (code: number, more: object = {}): Answer => {
  const [status, text] = HEC_TEXTS[code]!;
  return { status, body: { text, code, ...more } };
};
const envelope = z.strictObject({
  time: z.number().positive(),
  host: z.string(),
  source: z.string(),
  sourcetype: z.string(),
  index: z.string().optional(),
  event: z.unknown().optional(),
  fields: z.record(z.string(), z.unknown()).optional(),
});
const GUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

export interface HecOptions {
  token: string;
  /** Indexes that the token may write to; null: all. */
  indexes?: readonly string[] | null;
  /** The token has acknowledgement by the indexer, which needs a channel. */
  hasAck?: boolean;
  isBusy?: () => boolean;
}

/** help.splunk.com: "Format events for HTTP Event Collector", "Troubleshoot HTTP Event Collector". */
export function splunkHec({ token, indexes = null, hasAck = false, isBusy }: HecOptions): Receiver {
  return (request) => {
    const { headers, path } = request;
    if (path !== '/services/collector/event') return { status: 404 };
    const { authorization } = headers;
    if (authorization === undefined) return hec(2);
    if (!authorization.startsWith('Splunk ')) return hec(3);
    if (authorization !== `Splunk ${token}`) return hec(4);
    const channel = headers['x-splunk-request-channel'];
    if (hasAck && channel === undefined) return hec(10);
    if (channel !== undefined && !GUID.test(String(channel))) return hec(11);
    if (isBusy?.() === true) return hec(9);
    const text = plainBody(request);
    // `max_content_length` of Splunk Cloud Platform.
    if (Buffer.byteLength(text) > 1_000_000) return { status: 413 };
    if (text === '') return hec(5);
    let events: unknown[];
    try {
      events = concatenated(text);
    } catch {
      return hec(6, { 'invalid-event-number': 0 });
    }
    for (const [number, event] of events.entries()) {
      const code = hecCode(event, indexes);
      if (code !== 0) return hec(code, { 'invalid-event-number': number });
    }
    return hec(0, hasAck ? { ackId: 0 } : {});
  };
}

function hecCode(event: unknown, indexes: readonly string[] | null): number {
  const parsed = envelope.safeParse(event);
  if (!parsed.success) return 6;
  const { event: own, index, fields } = parsed.data;
  if (own === undefined || own === null) return 12;
  if (own === '') return 13;
  if (Object.values(fields ?? {}).some((value) => typeof value === 'object')) return 15;
  return index !== undefined && indexes !== null && !indexes.includes(index) ? 7 : 0;
}

export interface ElasticOptions {
  apiKey: string;
  /** Returns another status for a document, such as 429 for one that does not fit into the queue. */
  judge?: (document: Record<string, unknown>, id: string) => { status: number; type: string } | null;
}

/** elastic.co: Elasticsearch API "Bulk", "Use a data stream". It keeps ids, so that one that comes again is a conflict. */
export function elasticBulk({ apiKey, judge }: ElasticOptions): Receiver & { stored: Map<string, unknown> } {
  const stored = new Map<string, unknown>();
  const itemOf = (name: string, action: unknown, document: unknown) => {
    const create = z.strictObject({ create: z.strictObject({ _id: z.string().min(1) }) }).safeParse(action);
    const failed = (status: number, type: string) => ({ create: { status, error: { type, reason: 'x' } } });
    // A data stream takes no other operation.
    if (!create.success) return failed(400, 'illegal_argument_exception');
    const { _id: id } = create.data.create;
    if (Buffer.byteLength(id) > 512) return failed(400, 'illegal_argument_exception');
    const fields = document as Record<string, unknown>;
    if (!rfc3339.safeParse(fields['@timestamp']).success) return failed(400, 'document_parsing_exception');
    if (!hasTypes(fields)) return failed(400, 'document_parsing_exception');
    const judged = judge?.(fields, id) ?? null;
    if (judged !== null) return failed(judged.status, judged.type);
    const key = `${name}/${id}`;
    if (stored.has(key)) return failed(409, 'version_conflict_engine_exception');
    stored.set(key, fields);
    return { create: { status: 201 } };
  };
  const receive: Receiver = (request) => {
    if (request.headers.authorization !== `ApiKey ${apiKey}`) return { status: 401 };
    const [, name] = /^\/([a-z0-9][a-z0-9._-]*)\/_bulk(?:\?|$)/.exec(request.path) ?? [];
    if (name === undefined) return { status: 400 };
    if (!/^application\/(x-nd)?json(; ?charset=utf-8)?$/i.test(request.headers['content-type']!))
      return { status: 406 };
    const text = plainBody(request);
    if (Buffer.byteLength(text) > 100 * 1024 * 1024) return { status: 413 };
    // The last line ends with a line break.
    const lines = text.split('\n');
    if (lines.pop() !== '' || lines.length === 0 || lines.length % 2 !== 0) return { status: 400 };
    let read: unknown[];
    try {
      read = lines.map((line) => JSON.parse(line) as unknown);
    } catch {
      return { status: 400 };
    }
    const items = read.flatMap((line, at) => (at % 2 === 0 ? [itemOf(name, line, read[at + 1])] : []));
    return { status: 200, body: { errors: items.some(({ create }) => create.status > 201), items } };
  };
  return Object.assign(receive, { stored });
}

/** The types of the fields that the templates of Elasticsearch for `logs-*-*` map. */
function hasTypes(document: Record<string, unknown>): boolean {
  if ('ecs' in document) return ecsErrors(document).length === 0;
  const address = (document['source'] as { ip?: string } | undefined)?.ip;
  return address === undefined || isIP(address) !== 0;
}

const MEGABYTE = 1_000_000;
const datadogLog = z.strictObject({
  ddsource: z.string().min(1),
  ddtags: z.string(),
  service: z.string().min(1),
  hostname: z.string(),
  message: z.string().min(1),
  status: z.string().optional(),
  imdswatch: z.record(z.string(), z.unknown()).optional(),
});

/** docs.datadoghq.com: Logs API v2, "Send logs". A log of more than 1 MB is accepted and cut. */
export function datadogLogs(apiKey: string): Receiver {
  return (request) => {
    const key = request.headers['dd-api-key'];
    if (key === undefined) return { status: 401 };
    if (key !== apiKey) return { status: 403 };
    if (request.path !== '/api/v2/logs') return { status: 404 };
    if (!request.headers['content-type']?.startsWith('application/json')) return { status: 400 };
    const text = plainBody(request);
    if (Buffer.byteLength(text) > 5 * MEGABYTE) return { status: 413 };
    const logs = z.array(datadogLog).min(1).max(1000).safeParse(JSON.parse(text));
    if (!logs.success) return { status: 400 };
    const isLong = (log: unknown) => Buffer.byteLength(JSON.stringify(log)) > MEGABYTE;
    return { status: 202, body: {}, cut: logs.data.filter(isLong).map(() => 'message') };
  };
}

const text = z.string();
const objects = z.record(z.string(), z.unknown());
/** Columns of the streams of the data collection rule, as docs/integrations.md lists them. */
const COLUMNS: Readonly<Record<string, z.ZodType>> = {
  Imdswatch: z.strictObject({
    ...{ TimeGenerated: rfc3339, AlertId: z.uuid(), DedupKey: text, Rule: text, State: text, Severity: text },
    ...{ Title: text, Description: text, Started: rfc3339.optional(), Ended: rfc3339.optional() },
    ...{ ObjectType: text.optional(), ObjectId: text.optional(), ObjectName: text.optional() },
    ...{ Account: text.optional(), Region: text.optional(), Owner: text.optional(), Tags: objects },
    ...{ Hosts: z.array(objects), Link: text.optional() },
  }),
  ImdswatchCalls: z.strictObject({
    ...{ TimeGenerated: rfc3339, CallId: text, HostId: text, HostName: text, Account: text.optional() },
    ...{ Region: text.optional(), ImdsVersion: z.int().optional(), Kind: text, Category: text },
    ...{ Method: text.optional(), Path: text.optional(), UserAgent: text.optional() },
    ...{ StatusCode: z.int().optional(), Outcome: text, Offender: text, Executable: text.optional() },
    ...{ User: text.optional(), Record: objects },
  }),
  ImdswatchFindings: z.strictObject({
    ...{ TimeGenerated: rfc3339, FindingId: z.uuid(), Key: text, Type: text, Change: text, Severity: text },
    ...{ Title: text, Description: text, FirstSeen: rfc3339, LastSeen: rfc3339, Link: text.optional() },
    Record: objects,
  }),
  ImdswatchAudit: z.strictObject({
    ...{ TimeGenerated: rfc3339, EntryId: z.int(), Actor: text, Action: text, Subject: text },
    ...{ Detail: text.optional(), SourceAddress: text.optional(), Record: objects },
  }),
};

/**
 * learn.microsoft.com: "Logs Ingestion API in Azure Monitor", and "Azure Monitor service limits": 1 MB a call; the value of
 * a field has at most 64 KB and is cut. A column that the rule does not have would be lost, so it is refused here.
 */
export function azureLogs(secret: string): Receiver {
  return (request) => {
    const { path, headers, body } = request;
    if (path === '/tenant/oauth2/v2.0/token') {
      const form = Object.fromEntries(new URLSearchParams(body.toString()));
      const isRight = form['client_secret'] === secret && form['grant_type'] === 'client_credentials';
      if (!isRight || form['scope'] !== 'https://monitor.azure.com//.default')
        return { status: 401, body: { error: 'invalid_client' } };
      const token = { token_type: 'Bearer', expires_in: 3599, access_token: `${secret}-access` };
      return { status: 200, body: token };
    }
    if (headers.authorization !== `Bearer ${secret}-access`) return { status: 401 };
    const [, stream = ''] =
      /^\/dataCollectionRules\/dcr-0{32}\/streams\/Custom-(\w+)_CL\?api-version=2023-01-01$/.exec(path) ?? [];
    const columns = COLUMNS[stream];
    if (columns === undefined) return { status: 404, body: { error: { code: 'InvalidStream' } } };
    const plain = plainBody(request);
    if (Buffer.byteLength(plain) > 1_048_576) return { status: 413 };
    const rows = z.array(columns).min(1).safeParse(JSON.parse(plain));
    if (!rows.success) return { status: 400, body: { error: { code: 'InvalidPayload' } } };
    const cut = (rows.data as Record<string, unknown>[]).flatMap((row) =>
      Object.entries(row).flatMap(([name, value]) =>
        Buffer.byteLength(typeof value === 'string' ? value : JSON.stringify(value)) > 65_536 ? [name] : [],
      ),
    );
    return { status: 204, cut };
  };
}
