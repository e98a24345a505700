/** The names that the page shows for the streams of records and their shapes. */
import type { ShapeName, StreamName } from '../../collector/contract/export.ts';

export const STREAMS: Record<StreamName, { label: string; hint: string }> = {
  alerts: { label: 'Alerts', hint: 'An alert for each event of the rules below.' },
  calls: {
    label: 'Every call',
    hint: 'Every stored call from now on. IMDSv2 calls that agents roll up are not among them.',
  },
  findings: {
    label: 'Findings',
    hint: 'Offenders, verdicts of hosts and silent agents: all that there are, and each change.',
  },
  audit: { label: 'Audit log', hint: 'Every entry of the audit log from now on.' },
};

export const SHAPES: Record<ShapeName, string> = {
  native: 'imdswatch',
  otlp: 'OpenTelemetry log records',
  ocsf: 'OCSF 1.5',
  ecs: 'Elastic Common Schema 9.4',
  asff: 'AWS Security Finding Format',
};
