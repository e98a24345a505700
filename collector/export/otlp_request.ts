/**
 * Makes requests of OTLP/HTTP (`ExportLogsServiceRequest`) from log records, and reads their answers. One request has one
 * ResourceLogs for each host.
 */
import { VERSION } from '../../common/version.ts';
import type { Json, JsonObject } from './json.ts';
import type { OtlpValue } from './otlp_value.ts';

const SCOPE = { name: 'imdswatch', version: VERSION, schemaUrl: 'https://opentelemetry.io/schemas/1.44.0' };
/** Attributes that are doubles also where their value is whole. A receiver takes the type of a field from its first value. */
const DOUBLES = new Set(['imdswatch.duration', 'imdswatch.host.coverage_percent']);

export type OtlpFormat = 'protobuf' | 'json';

/** `values`: what the shape `otlp` has made. Loads the library of OpenTelemetry at the first request in protobuf. */
export async function encodeOtlp(values: readonly JsonObject[], format: OtlpFormat): Promise<Uint8Array> {
  const groups = groupedByResource(values as readonly OtlpValue[]);
  if (format === 'json') return new TextEncoder().encode(JSON.stringify(jsonRequest(groups)));
  const { ProtobufLogsSerializer } = await import('@opentelemetry/otlp-transformer');
  const records = groups.flatMap((group) => {
    const resource = { attributes: group[0]!.resource };
    return group.map((value) => sdkRecord(value, resource));
  });
  type Records = Parameters<typeof ProtobufLogsSerializer.serializeRequest>[0];
  return ProtobufLogsSerializer.serializeRequest(records as unknown as Records) ?? new Uint8Array();
}

/** Returns one request as a line of the file format of the OpenTelemetry Collector (OTLP JSON, one request a line). */
export function otlpJsonLine(values: readonly JsonObject[]): string {
  return JSON.stringify(jsonRequest(groupedByResource(values as readonly OtlpValue[])));
}

export interface OtlpAnswer {
  /** Records that the receiver did not take. They are not sent again (opentelemetry-proto, `docs/specification.md`). */
  rejected: number;
  message: string;
}

/** Reads the body of an answer with the status 200. An answer that cannot be read counts as full success, as an empty one does. */
export async function decodeOtlpAnswer(body: Uint8Array, format: OtlpFormat): Promise<OtlpAnswer> {
  if (body.length === 0) return { rejected: 0, message: '' };
  const library = await import('@opentelemetry/otlp-transformer');
  const serializer = format === 'json' ? library.JsonLogsSerializer : library.ProtobufLogsSerializer;
  try {
    const { partialSuccess } = serializer.deserializeResponse(body);
    return {
      rejected: Number(partialSuccess?.rejectedLogRecords ?? 0),
      message: partialSuccess?.errorMessage ?? '',
    };
  } catch {
    return { rejected: 0, message: '' };
  }
}

/** Keeps the order of the records of one resource. */
function groupedByResource(values: readonly OtlpValue[]): OtlpValue[][] {
  const groups = new Map<string, OtlpValue[]>();
  for (const value of values) {
    const key = JSON.stringify(value.resource);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [value]);
    else group.push(value);
  }
  return [...groups.values()];
}

/** The record as the library reads it. It groups records by the identity of `resource` and `instrumentationScope`. */
function sdkRecord(value: OtlpValue, resource: { attributes: JsonObject }) {
  return {
    resource,
    instrumentationScope: SCOPE,
    hrTime: hrTime(value.time_us),
    hrTimeObserved: hrTime(value.observed_us),
    severityNumber: value.severity_number,
    severityText: value.severity_text,
    eventName: value.event_name,
    body: value.body,
    attributes: withDoubles(value.attributes),
    droppedAttributesCount: 0,
  };
}

function hrTime(us: number): [seconds: number, nanoseconds: number] {
  return [Math.floor(us / 1e6), (us % 1e6) * 1000];
}

/**
 * The library writes every whole number as an integer. The smallest step to the next double keeps the type of the field, and is
 * far below the precision of any figure here.
 */
function withDoubles(attributes: JsonObject): JsonObject {
  let changed: { [key: string]: Json } | null = null;
  for (const name of DOUBLES) {
    const value = attributes[name];
    if (typeof value !== 'number' || !Number.isInteger(value)) continue;
    changed ??= { ...attributes };
    changed[name] = value === 0 ? Number.MIN_VALUE : value * (1 + Number.EPSILON);
  }
  return changed ?? attributes;
}

/**
 * Returns a request by the JSON mapping of protobuf: lowerCamelCase, 64-bit integers as strings, enumerations as numbers. The
 * library's own serializer writes 64-bit integers as numbers.
 */
function jsonRequest(groups: readonly (readonly OtlpValue[])[]): JsonObject {
  return {
    resourceLogs: groups.map((group) => ({
      resource: { attributes: keyValues(group[0]!.resource) },
      scopeLogs: [
        {
          scope: { name: SCOPE.name, version: SCOPE.version },
          logRecords: group.map(jsonRecord),
          schemaUrl: SCOPE.schemaUrl,
        },
      ],
    })),
  };
}

function jsonRecord(value: OtlpValue): JsonObject {
  return {
    timeUnixNano: `${value.time_us}000`,
    observedTimeUnixNano: `${value.observed_us}000`,
    severityNumber: value.severity_number,
    severityText: value.severity_text,
    eventName: value.event_name,
    body: { stringValue: value.body },
    attributes: keyValues(value.attributes),
  };
}

function keyValues(attributes: JsonObject): JsonObject[] {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value: DOUBLES.has(key) ? { doubleValue: value } : anyValue(value),
  }));
}

function anyValue(value: Json): JsonObject {
  switch (typeof value) {
    case 'string':
      return { stringValue: value };
    case 'boolean':
      return { boolValue: value };
    case 'number':
      return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
    default:
      if (value === null) return {};
      if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
      return { kvlistValue: { values: keyValues(value as JsonObject) } };
  }
}
