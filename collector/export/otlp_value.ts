/** A log record of OpenTelemetry before it is encoded. */
import type { JsonObject } from './json.ts';

export interface OtlpValue extends JsonObject {
  /** Attributes of the resource that the record is about: the host, or imdswatch itself. */
  readonly resource: JsonObject;
  /** Microseconds since 1970. */
  readonly time_us: number;
  readonly observed_us: number;
  /** 9 INFO, 13 WARN, 17 ERROR (opentelemetry-proto, `logs.proto`, SeverityNumber). */
  readonly severity_number: number;
  readonly severity_text: string;
  readonly event_name: string;
  readonly body: string;
  readonly attributes: JsonObject;
}

export const OTLP_LEVELS = {
  info: { severity_number: 9, severity_text: 'INFO' },
  warning: { severity_number: 13, severity_text: 'WARN' },
  critical: { severity_number: 17, severity_text: 'ERROR' },
} as const;

/** The resource of records that are about no single host. */
export const OTLP_COLLECTOR: JsonObject = { 'service.name': 'imdswatch' };
