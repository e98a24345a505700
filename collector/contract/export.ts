/** Names of the streams of records that leave the collector, and of the shapes that they can have. */
import * as z from 'zod';

export const streamName = z.enum(['alerts', 'calls', 'findings', 'audit']);

/**
 * `native`: as docs/events.md says. `otlp`: log records of OpenTelemetry. `ocsf`: events of the Open Cybersecurity Schema
 * Framework 1.5. `ecs`: the Elastic Common Schema 9.4. `asff`: findings of AWS Security Hub.
 */
export const shapeName = z.enum(['native', 'otlp', 'ocsf', 'ecs', 'asff']);

export type StreamName = z.infer<typeof streamName>;
export type ShapeName = z.infer<typeof shapeName>;
