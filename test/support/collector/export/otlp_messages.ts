/**
 * The messages of OTLP logs for an independent decoder, with the field numbers of opentelemetry-proto v1.9.0 (Apache-2.0):
 * `common/v1/common.proto`, `resource/v1/resource.proto`, `logs/v1/logs.proto`, `collector/logs/v1/logs_service.proto`.
 */
import protobuf from 'protobufjs';

const field = (id: number, type: string, rule?: 'repeated') => ({ id, type, ...(rule ? { rule } : {}) });

const root = protobuf.Root.fromJSON({
  nested: {
    AnyValue: {
      oneofs: {
        value: {
          oneof: [
            'stringValue',
            'boolValue',
            'intValue',
            'doubleValue',
            'arrayValue',
            'kvlistValue',
            'bytesValue',
          ],
        },
      },
      fields: {
        stringValue: field(1, 'string'),
        boolValue: field(2, 'bool'),
        intValue: field(3, 'int64'),
        doubleValue: field(4, 'double'),
        arrayValue: field(5, 'ArrayValue'),
        kvlistValue: field(6, 'KeyValueList'),
        bytesValue: field(7, 'bytes'),
      },
    },
    ArrayValue: { fields: { values: field(1, 'AnyValue', 'repeated') } },
    KeyValueList: { fields: { values: field(1, 'KeyValue', 'repeated') } },
    KeyValue: { fields: { key: field(1, 'string'), value: field(2, 'AnyValue') } },
    InstrumentationScope: {
      fields: {
        name: field(1, 'string'),
        version: field(2, 'string'),
        attributes: field(3, 'KeyValue', 'repeated'),
        droppedAttributesCount: field(4, 'uint32'),
      },
    },
    Resource: {
      fields: { attributes: field(1, 'KeyValue', 'repeated'), droppedAttributesCount: field(2, 'uint32') },
    },
    LogRecord: {
      fields: {
        timeUnixNano: field(1, 'fixed64'),
        severityNumber: field(2, 'int32'),
        severityText: field(3, 'string'),
        body: field(5, 'AnyValue'),
        attributes: field(6, 'KeyValue', 'repeated'),
        droppedAttributesCount: field(7, 'uint32'),
        flags: field(8, 'fixed32'),
        traceId: field(9, 'bytes'),
        spanId: field(10, 'bytes'),
        observedTimeUnixNano: field(11, 'fixed64'),
        eventName: field(12, 'string'),
      },
    },
    ScopeLogs: {
      fields: {
        scope: field(1, 'InstrumentationScope'),
        logRecords: field(2, 'LogRecord', 'repeated'),
        schemaUrl: field(3, 'string'),
      },
    },
    ResourceLogs: {
      fields: {
        resource: field(1, 'Resource'),
        scopeLogs: field(2, 'ScopeLogs', 'repeated'),
        schemaUrl: field(3, 'string'),
      },
    },
    ExportLogsServiceRequest: { fields: { resourceLogs: field(1, 'ResourceLogs', 'repeated') } },
    ExportLogsPartialSuccess: {
      fields: { rejectedLogRecords: field(1, 'int64'), errorMessage: field(2, 'string') },
    },
    ExportLogsServiceResponse: { fields: { partialSuccess: field(1, 'ExportLogsPartialSuccess') } },
  },
});

const Request = root.lookupType('ExportLogsServiceRequest');
const Response = root.lookupType('ExportLogsServiceResponse');

/** A decoded request, with 64-bit integers as strings. */
export interface DecodedRequest {
  resourceLogs: {
    resource: { attributes: KeyValue[] };
    scopeLogs: { scope: { name: string; version: string }; logRecords: DecodedRecord[]; schemaUrl: string }[];
  }[];
}
export interface KeyValue {
  key: string;
  value: Record<string, unknown>;
}
export interface DecodedRecord {
  timeUnixNano: string;
  observedTimeUnixNano: string;
  severityNumber: number;
  severityText: string;
  eventName: string;
  body: { stringValue: string };
  attributes: KeyValue[];
}

export function decodeRequest(bytes: Uint8Array): DecodedRequest {
  return Request.toObject(Request.decode(bytes), { longs: String, arrays: true }) as DecodedRequest;
}

/** Returns the bytes of a request that was decoded: any field that the descriptor does not have is lost. */
export function encodedRequest(request: DecodedRequest): Uint8Array {
  return Request.encode(Request.fromObject(request)).finish();
}

export function encodedAnswer(rejectedLogRecords: number, errorMessage: string): Uint8Array {
  return Response.encode(
    Response.fromObject({ partialSuccess: { rejectedLogRecords, errorMessage } }),
  ).finish();
}

/** Returns a value of attributes as plain JSON. Integers are BigInt, so that they cannot be taken for doubles. */
export function plain(value: Record<string, unknown>): unknown {
  if ('stringValue' in value || 'boolValue' in value || 'doubleValue' in value) {
    return value['stringValue'] ?? value['boolValue'] ?? value['doubleValue'];
  }
  if ('intValue' in value) return BigInt(value['intValue'] as string);
  if ('arrayValue' in value) {
    const { values = [] } = value['arrayValue'] as { values?: Record<string, unknown>[] };
    return values.map(plain);
  }
  if ('kvlistValue' in value) return plainAttributes((value['kvlistValue'] as { values: KeyValue[] }).values);
  return null;
}

export function plainAttributes(attributes: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]));
}
