/** Fields that all events of OCSF 1.5.0 have (github.com/ocsf/ocsf-schema, tag 1.5.0). */
import { VERSION } from '../../common/version.ts';
import { toMicroseconds } from '../store/time.ts';
import { compact } from './compact.ts';
import type { Json, JsonObject } from './json.ts';

export const OCSF_VERSION = '1.5.0';

const SEVERITIES = ['Unknown', 'Informational', 'Low', 'Medium', 'High', 'Critical'] as const;
export type OcsfSeverity = 0 | 1 | 2 | 3 | 4 | 5;
/** Severity of findings and alerts. */
export const OCSF_SEVERITY = { info: 1, warning: 3, critical: 5 } as const;

const CATEGORIES = { 2: 'Findings', 3: 'Identity & Access Management', 4: 'Network Activity' } as const;
export const OCSF_CLASSES = {
  complianceFinding: { uid: 2003, name: 'Compliance Finding' },
  detectionFinding: { uid: 2004, name: 'Detection Finding' },
  authentication: { uid: 3002, name: 'Authentication' },
  entityManagement: { uid: 3004, name: 'Entity Management' },
  networkActivity: { uid: 4001, name: 'Network Activity' },
  httpActivity: { uid: 4002, name: 'HTTP Activity' },
} as const;

/** An activity of a class: its number and its caption. */
export interface Activity {
  id: number;
  name: string;
}

/** Activities that all findings have. */
export const FINDING_ACTIVITIES = {
  new: { id: 1, name: 'Create' },
  updated: { id: 2, name: 'Update' },
  resolved: { id: 3, name: 'Close' },
} as const satisfies Record<string, Activity>;

interface Base {
  activity: Activity;
  severity: OcsfSeverity;
  time: string;
  metadata: { readonly [key: string]: Json | undefined };
  /** Profiles whose fields the event has. */
  profiles: readonly string[];
}

export function baseOf(
  { uid, name }: (typeof OCSF_CLASSES)[keyof typeof OCSF_CLASSES],
  { activity, severity, time, metadata, profiles }: Base,
): JsonObject {
  const category = Math.floor(uid / 1000) as keyof typeof CATEGORIES;
  return {
    category_uid: category,
    category_name: CATEGORIES[category],
    class_uid: uid,
    class_name: name,
    activity_id: activity.id,
    activity_name: activity.name,
    type_uid: uid * 100 + activity.id,
    type_name: `${name}: ${activity.name}`,
    severity_id: severity,
    severity: SEVERITIES[severity],
    time: milliseconds(time),
    metadata: {
      version: OCSF_VERSION,
      product: { name: 'imdswatch', vendor_name: 'imdswatch', version: VERSION },
      ...(profiles.length === 0 ? {} : { profiles: [...profiles] }),
      original_time: time,
      ...compact(metadata),
    },
  };
}

/** Converts RFC 3339 to milliseconds since 1970. */
export function milliseconds(time: string): number {
  return Math.floor(toMicroseconds(time) / 1000);
}
