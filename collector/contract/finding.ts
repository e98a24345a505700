/** Schemas of findings: an offender, a host's verdict, or a host that is not watched, each time that it changes. */
import * as z from 'zod';
import { verdict } from './host.ts';
import { hostRef, offender, offenderProcess } from './offender.ts';
import { time } from './window.ts';

/** A host of a finding, with the facts that name it in its cloud. */
export const findingHost = hostRef.extend({
  account: z.string().nullable(),
  region: z.string().nullable(),
  zone: z.string().nullable(),
  type: z.string().nullable(),
  image_id: z.string().nullable(),
  tags: z.record(z.string(), z.string()),
  /** Settings of the instance's metadata service, as the cloud has reported them. */
  http_tokens: z.enum(['optional', 'required']).nullable(),
  hop_limit: z.int().nullable(),
});

const common = {
  /** Unique for each report, so that a receiver recognises a report that it gets twice. */
  id: z.uuid(),
  /** The same in all reports about one thing: `offender/ID`, `verdict/HOST`, `host_silent/HOST`, `coverage_lost/HOST`. */
  key: z.string(),
  /** `resolved`: it is over. */
  change: z.enum(['new', 'updated', 'resolved']),
  /** When the change was found. Later reports about the same thing have later times. */
  time,
  /** When it was first and last seen. */
  first_seen: time,
  last_seen: time,
  severity: z.enum(['critical', 'warning', 'info']),
  title: z.string(),
  text: z.string(),
  /** Link to the page; null where the collector does not know its own address. */
  link: z.string().nullable(),
};

export const finding = z.discriminatedUnion('type', [
  z.object({
    ...common,
    type: z.literal('offender'),
    offender,
    /** Hosts on which it ran, those that called last first, at most 1,000. `offender.host_count` counts all. */
    hosts: z.array(findingHost),
    /** Its latest process; null where none is kept. */
    process: offenderProcess.nullable(),
  }),
  z.object({
    ...common,
    type: z.literal('verdict'),
    host: findingHost,
    verdict,
    /** Why this verdict, and the next step. */
    reason: z.string(),
    coverage_percent: z.number(),
  }),
  z.object({
    ...common,
    type: z.literal('sensor'),
    rule: z.enum(['host_silent', 'coverage_lost']),
    host: findingHost,
  }),
]);

export type FindingHost = z.infer<typeof findingHost>;
export type Finding = z.infer<typeof finding>;
export type OffenderFinding = Extract<Finding, { type: 'offender' }>;
export type VerdictFinding = Extract<Finding, { type: 'verdict' }>;
export type SensorFinding = Extract<Finding, { type: 'sensor' }>;
