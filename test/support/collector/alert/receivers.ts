/**
 * Strict stand-ins of receivers, made from the contract that each one documents: required fields, limits, authentication,
 * codes of answers. They refuse what the real one would refuse. The presets name the documents.
 */
import { gunzipSync } from 'node:zlib';
import * as z from 'zod';
import { decodeRequest } from '../export/otlp_messages.ts';
import type { Received } from './http_receiver.ts';
import {
  type Answer,
  azureLogs,
  datadogLogs,
  elasticBulk,
  plainBody,
  type Receiver,
  rfc3339,
  splunkHec,
} from './siem_receivers.ts';

const json = (request: Received): unknown => {
  if (!/^application\/json/.test(request.headers['content-type'] ?? '')) throw new Error('no JSON');
  return JSON.parse(plainBody(request));
};
const ok = (isAccepted: boolean, accepted: number, refused = 400): Answer => ({
  status: isAccepted ? accepted : refused,
});

const pagerduty = z.discriminatedUnion('event_action', [
  z.strictObject({
    routing_key: z.string().length(32),
    event_action: z.literal('trigger'),
    dedup_key: z.string().max(255),
    client: z.string().optional(),
    client_url: z.url().optional(),
    payload: z.strictObject({
      summary: z.string().min(1).max(1024),
      source: z.string().min(1),
      severity: z.enum(['critical', 'error', 'warning', 'info']),
      timestamp: rfc3339.optional(),
      component: z.string().optional(),
      group: z.string().optional(),
      class: z.string().optional(),
      custom_details: z.record(z.string(), z.unknown()).optional(),
    }),
  }),
  z.strictObject({
    routing_key: z.string().length(32),
    event_action: z.literal('resolve'),
    dedup_key: z.string().min(1).max(255),
  }),
]);

const opsgenieAlert = z.strictObject({
  message: z.string().min(1).max(130),
  alias: z.string().max(512),
  description: z.string().max(15_000),
  entity: z.string().max(512),
  source: z.string().max(100),
  priority: z.enum(['P1', 'P2', 'P3', 'P4', 'P5']),
  tags: z.array(z.string().max(50)).max(20),
  details: z.record(z.string(), z.string()),
});

const textBlock = z.looseObject({
  type: z.literal('TextBlock'),
  text: z.string(),
  color: z.enum(['Default', 'Attention', 'Warning', 'Good']).optional(),
});
const teams = z.strictObject({
  type: z.literal('message'),
  attachments: z
    .array(
      z.strictObject({
        contentType: z.literal('application/vnd.microsoft.card.adaptive'),
        content: z.strictObject({
          $schema: z.url(),
          type: z.literal('AdaptiveCard'),
          version: z.literal('1.4'),
          body: z.tuple([
            textBlock,
            textBlock,
            z.strictObject({
              type: z.literal('FactSet'),
              facts: z.array(z.strictObject({ title: z.string(), value: z.string().min(1) })),
            }),
          ]),
          actions: z.array(
            z.strictObject({ type: z.literal('Action.OpenUrl'), title: z.string(), url: z.url() }),
          ),
        }),
      }),
    )
    .length(1),
});

const adfText = z.strictObject({ type: z.literal('text'), text: z.string().min(1) });
const jira = z.strictObject({
  fields: z.strictObject({
    project: z.strictObject({ key: z.literal('SEC') }),
    issuetype: z.strictObject({ name: z.literal('Task') }),
    summary: z
      .string()
      .min(1)
      .max(255)
      .regex(/^[^\r\n]*$/),
    labels: z.array(z.string().max(255).regex(/^\S+$/)),
    description: z.strictObject({
      type: z.literal('doc'),
      version: z.literal(1),
      content: z.array(z.strictObject({ type: z.literal('paragraph'), content: z.array(adfText) })),
    }),
  }),
});

const servicenow = z.strictObject({
  records: z.array(
    z.strictObject({
      source: z.string(),
      event_class: z.string(),
      node: z.string().max(100),
      resource: z.string().max(100),
      metric_name: z.string(),
      type: z.string(),
      severity: z.enum(['0', '1', '2', '3', '4', '5']),
      resolution_state: z.enum(['New', 'Closing']),
      time_of_event: z.string().regex(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/),
      message_key: z.string().max(1024),
      description: z.string().max(4000),
      additional_info: z.string().refine((text) => typeof JSON.parse(text) === 'object'),
    }),
  ),
});

const label = z.record(z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/), z.string());
const alertmanager = z.array(
  z.strictObject({
    labels: label.refine((labels) => (labels['alertname'] ?? '') !== ''),
    annotations: label,
    startsAt: rfc3339,
    endsAt: rfc3339.optional(),
    generatorURL: z.url().optional(),
  }),
);

const slack = z.strictObject({
  text: z.string().min(1),
  blocks: z.array(z.looseObject({ type: z.enum(['header', 'section', 'context']) })).max(50),
});

export const RECEIVERS: Record<string, Receiver> = {
  webhook: (request) =>
    ok(z.looseObject({ version: z.literal(2), id: z.uuid() }).safeParse(json(request)).success, 200),
  slack: (request) => ok(slack.safeParse(json(request)).success, 200),
  teams: (request) => ok(request.body.length <= 28_000 && teams.safeParse(json(request)).success, 202),
  pagerduty: (request) => ok(pagerduty.safeParse(json(request)).success, 202),
  opsgenie: (request) => {
    if (request.headers.authorization !== 'GenieKey T0PSECRETKEY') return { status: 401 };
    if (request.path === '/v2/alerts') return ok(opsgenieAlert.safeParse(json(request)).success, 202, 422);
    const [, alias] = /^\/v2\/alerts\/([^/]+)\/close\?identifierType=alias$/.exec(request.path) ?? [];
    const closing = z.strictObject({ source: z.string().max(100), note: z.string().max(25_000) });
    return ok(alias !== undefined && closing.safeParse(json(request)).success, 202, 422);
  },
  jira: (request) => {
    const basic = Buffer.from('ada@example.com:T0PSECRETTOKEN').toString('base64');
    if (request.headers.authorization !== `Basic ${basic}`) return { status: 401 };
    return ok(request.path === '/rest/api/3/issue' && jira.safeParse(json(request)).success, 201);
  },
  servicenow: (request) => {
    if (!request.headers.authorization?.startsWith('Basic ')) return { status: 401 };
    return ok(request.path === '/api/global/em/jsonv2' && servicenow.safeParse(json(request)).success, 200);
  },
  alertmanager: (request) =>
    ok(request.path === '/api/v2/alerts' && alertmanager.safeParse(json(request)).success, 200),
  splunk: splunkHec({ token: 'T0PSECRETTOKEN' }),
  otlp: (request) => {
    if (request.headers.authorization !== 'Bearer T0PSECRETTOKEN') return { status: 401 };
    if (request.headers['content-type'] !== 'application/x-protobuf') return { status: 415 };
    const { headers, body } = request;
    const bytes = headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
    const { resourceLogs } = decodeRequest(bytes);
    const isEmpty = resourceLogs.length === 0;
    return ok(request.path === '/v1/logs' && !isEmpty && bytes.length <= 4_000_000, 200);
  },
  datadog: datadogLogs('T0PSECRETKEY'),
  sentinel: azureLogs('T0PSECRET'),
  elastic: (request) => elasticBulk({ apiKey: 'T0PSECRETKEY' })(request),
};
