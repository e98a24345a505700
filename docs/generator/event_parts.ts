/** The tables of the event reference: keys and types from the schemas, words from `event_words.ts`. */
import type * as z from 'zod';
import { alert } from '../../collector/contract/administration.ts';
import { gapReason, verdict } from '../../collector/contract/host.ts';
import { offender, severity } from '../../collector/contract/offender.ts';
import {
  call,
  containerFacts,
  hostFacts,
  k8sFacts,
  processFacts,
  systemdFacts,
} from '../../protocol/call.ts';
import { lossesOf } from '../../protocol/losses.ts';
import { coverage, heartbeat, rollup, rollupLine, type StageCounters } from '../../protocol/records.ts';
import * as words from './event_words.ts';
import { code, table } from './generated_part.ts';
import { fieldsOf } from './schema_fields.ts';

/** Counted outside the stages: by the watch itself, and by the spool of what is evidence. */
const OTHER_LOSSES = [
  'coverage.unseen_connections',
  'run.open_calls',
  'watch.stalled_ms',
  'spool.v1_overflowed',
  'spool.v1_lost',
  'spool.coverage_overflowed',
  'spool.coverage_lost',
  'spool.rejected',
  'spool.unreadable_files',
  'spool.ledgers_lost',
  'spool.batches_forgotten_by_collector',
];

export function eventParts(): Map<string, string> {
  return new Map([
    ['call', fields('a call', call, words.CALL)],
    ['process', fields('process', processFacts, words.PROCESS)],
    ['container', fields('container', containerFacts, words.CONTAINER)],
    ['kubernetes', fields('k8s', k8sFacts, words.K8S)],
    ['systemd', fields('systemd', systemdFacts, words.SYSTEMD)],
    ['host', fields('host', hostFacts, words.HOST)],
    ['rollup', fields('a roll-up', rollup, words.ROLLUP)],
    ['rollup_line', fields('a line of a roll-up', rollupLine, words.ROLLUP_LINE)],
    ['coverage', fields('coverage', coverage, words.COVERAGE)],
    ['heartbeat', fields('a heartbeat', heartbeat, words.HEARTBEAT)],
    ['offender', fields('an offender', offender, words.OFFENDER)],
    ['alert', fields('an alert', alert, words.ALERT)],
    ['severity', values('severity', severity.options, words.SEVERITY)],
    ['verdict', values('verdict', verdict.options, words.VERDICT)],
    ['gap_reason', values('reason', gapReason.options, words.GAP_REASON)],
    ['losses', values('counter', [...countedLosses(), ...OTHER_LOSSES], words.LOSSES)],
  ]);
}

/** Asked of the function itself, with stages in which everything was lost. */
function countedLosses(): string[] {
  const everything = new Proxy({}, { get: () => 1 });
  return Object.keys(lossesOf(new Proxy<StageCounters>({}, { get: () => everything })));
}

function fields(of: string, schema: z.ZodObject, meanings: Record<string, string>): string {
  const found = fieldsOf(schema);
  checkSame(
    of,
    found.map(({ key }) => key),
    Object.keys(meanings),
  );
  return table(
    ['key', 'type', 'meaning'],
    found.map(({ key, type }) => [code(key), type, meanings[key]!]),
  );
}

function values(head: string, found: readonly string[], meanings: Record<string, string>): string {
  checkSame(head, found, Object.keys(meanings));
  return table(
    [head, 'meaning'],
    found.map((value) => [code(value), meanings[value]!]),
  );
}

/** Throws where the reference would be silent about something, or would tell of something that is gone. */
function checkSame(of: string, found: readonly string[], described: readonly string[]): void {
  const undescribed = found.filter((key) => !described.includes(key));
  const gone = described.filter((key) => !found.includes(key));
  if (undescribed.length > 0) {
    throw new Error(`event_words.ts has no word for ${undescribed.join(', ')} of ${of}`);
  }
  if (gone.length > 0) throw new Error(`event_words.ts tells of ${gone.join(', ')}: ${of} has no such thing`);
}
