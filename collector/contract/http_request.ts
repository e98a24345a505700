/** Schemas of the generic HTTP destination: the requests that it makes, and the presets that ship. */
import * as z from 'zod';
import { alertRule } from './alert.ts';
import { shapeName, streamName } from './export.ts';

const MAX_TEMPLATE_CHARACTERS = 8000;
const MAX_TREE_DEPTH = 12;
const MAX_TREE_NODES = 500;

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** A text with `{{ … }}` of Liquid. */
const template = z.string().max(MAX_TEMPLATE_CHARACTERS);

/**
 * The body as a tree of JSON. Only its strings are templates, and each is filled for itself, so that no value can break
 * out of the JSON. A string that is one `{{ … }}` keeps the type of its value, and null leaves its key out.
 */
export const bodyTree = z
  .unknown()
  .refine(
    isSmall,
    `A body is JSON of at most ${MAX_TREE_NODES} values, ${MAX_TREE_DEPTH} deep.`,
  ) as z.ZodType<Json>;

const headerName = z.string().regex(/^[A-Za-z0-9-]{1,100}$/, 'is no name of a header');

const oneRequest = z.strictObject({
  method: z.enum(['POST', 'PUT', 'PATCH']),
  /** Only the destination's own values are filled in. */
  url: template.min(1),
  /** Segments behind the path of `url`. Each is encoded. */
  path: z.array(template).max(10),
  query: z.record(z.string().max(100), template),
  /** Only the destination's own values are filled in. */
  headers: z.record(headerName, template),
  /** Null: the shape of the record itself. */
  body: bodyTree,
});

export const authentication = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('none') }),
  z.strictObject({ kind: z.literal('header'), name: headerName, value: template.min(1) }),
  z.strictObject({ kind: z.literal('basic'), username: template, password: template }),
  /** Client credentials (RFC 6749 section 4.4). */
  z.strictObject({
    kind: z.literal('oauth2'),
    token_url: template.min(1),
    client_id: template.min(1),
    client_secret: template.min(1),
    scope: template.default(''),
  }),
]);

export const batch = z.strictObject({
  /**
   * `single`: one record a request. `array`: a JSON array. `wrapped`: an array within an object, under `key`. `lines`: one
   * JSON value a line (NDJSON). `concatenated`: JSON values one after another. `otlp_protobuf` and `otlp_json`: a request of
   * OTLP/HTTP, for records of the shape `otlp`.
   */
  form: z.enum(['single', 'array', 'wrapped', 'lines', 'concatenated', 'otlp_protobuf', 'otlp_json']),
  key: z.string().max(100).default(''),
  max_items: z.int().min(1).max(1000).default(100),
  max_bytes: z.int().min(1000).max(5_000_000).default(1_000_000),
  /** Streams: time that a record may wait for others to join its request. */
  max_seconds: z.number().min(0).max(3600).default(1),
});

/** All that a request is made of. A preset has every field that it needs, and a destination may replace some. */
export const requestDefinition = oneRequest
  .extend({
    shape: shapeName,
    /** The parts that differ in the request for something that is over. Null: it is not sent. */
    resolved: oneRequest.partial().nullable(),
    batch,
    /** With `lines`: a line before each record. */
    action: bodyTree,
    auth: authentication,
    /** PEM texts for a client certificate. */
    certificate: z.strictObject({ cert: template.min(1), key: template.min(1) }).nullable(),
    gzip: z.boolean(),
    /** Signs the body: `X-Imdswatch-Signature: sha256=HMAC` over the body before compression. Empty: no signature. */
    sign_with: template,
    /** `elastic_bulk`: the answer has a status for each record. `splunk_hec`: its code says what is wrong. */
    answer: z.enum(['status', 'elastic_bulk', 'splunk_hec']),
    /** Open alerts are sent again this often, for receivers that otherwise take them to be over. */
    resend_seconds: z.int().min(10).max(86_400).nullable(),
  })
  .partial();

export const presetParameter = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9_]{0,40}$/),
  label: z.string(),
  hint: z.string().default(''),
  required: z.boolean().default(true),
  /** A secret is never returned or logged. */
  secret: z.boolean().default(false),
  /** A text of several lines, such as a key in PEM. */
  multiline: z.boolean().default(false),
  default: z.string().nullable().default(null),
  /** A regular expression for the whole value. */
  pattern: z.string().nullable().default(null),
});

export const preset = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9_]{0,40}$/),
  title: z.string(),
  /** Says what arrives where, and where in the receiver its values are found. */
  description: z.string(),
  parameters: z.array(presetParameter),
  digest: z.boolean().default(false),
  send_resolved: z.boolean().default(true),
  /** Rules that a new destination has. Absent: all. */
  rules: z.array(alertRule).optional(),
  request: requestDefinition,
  /** Streams that it takes besides alerts, with the parts of the request that differ. */
  streams: z.partialRecord(streamName.exclude(['alerts']), requestDefinition).default({}),
});

/** A preset as it is served: what is needed to add a destination. */
export const destinationPreset = preset
  .pick({ name: true, title: true, description: true, parameters: true, digest: true, send_resolved: true })
  .extend({
    rules: z.array(alertRule),
    streams: z.array(streamName),
    /** Shapes that records of each stream can have, that of the preset first. */
    shapes: z.partialRecord(streamName, z.array(shapeName)),
  });

function isSmall(tree: unknown): boolean {
  let nodes = 0;
  const visit = (node: unknown, depth: number): boolean => {
    nodes += 1;
    if (nodes > MAX_TREE_NODES || depth > MAX_TREE_DEPTH) return false;
    if (typeof node === 'string') return node.length <= MAX_TEMPLATE_CHARACTERS;
    if (typeof node === 'number') return Number.isFinite(node);
    if (node === null || typeof node === 'boolean') return true;
    return typeof node === 'object' && Object.values(node).every((child) => visit(child, depth + 1));
  };
  return visit(tree, 0);
}

export type BodyTree = Json;
export type RequestDefinition = z.infer<typeof requestDefinition>;
export type Authentication = z.infer<typeof authentication>;
export type Batch = z.infer<typeof batch>;
export type Preset = z.infer<typeof preset>;
export type PresetParameter = z.infer<typeof presetParameter>;
export type DestinationPreset = z.infer<typeof destinationPreset>;
