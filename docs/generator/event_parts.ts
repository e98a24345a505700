/** The tables of the event reference: keys and types from the schemas, words from `field_descriptions.ts`. */
import type * as z from 'zod';
import { alert, alertObject } from '../../collector/contract/alert.ts';
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
import { LOSSES_OF_THE_CALLER, lossesOf, OTHER_LOSSES } from '../../protocol/losses.ts';
import { coverage, heartbeat, rollup, rollupLine, type StageCounters } from '../../protocol/records.ts';
import * as descriptions from './field_descriptions.ts';
import { code, table } from './generated_part.ts';
import { fieldsOf } from './schema_fields.ts';

export function eventParts(): Map<string, string> {
  return new Map([
    ['call', fields('a call', call, descriptions.CALL)],
    ['process', fields('process', processFacts, descriptions.PROCESS)],
    ['container', fields('container', containerFacts, descriptions.CONTAINER)],
    ['kubernetes', fields('k8s', k8sFacts, descriptions.K8S)],
    ['systemd', fields('systemd', systemdFacts, descriptions.SYSTEMD)],
    ['host', fields('host', hostFacts, descriptions.HOST)],
    ['rollup', fields('a roll-up', rollup, descriptions.ROLLUP)],
    ['rollup_line', fields('a line of a roll-up', rollupLine, descriptions.ROLLUP_LINE)],
    ['coverage', fields('coverage', coverage, descriptions.COVERAGE)],
    ['heartbeat', fields('a heartbeat', heartbeat, descriptions.HEARTBEAT)],
    ['offender', fields('an offender', offender, descriptions.OFFENDER)],
    ['alert', fields('an alert', alert, descriptions.ALERT)],
    ['alert_object', fields('the object of an alert', alertObject, descriptions.ALERT_OBJECT)],
    ['severity', values('severity', severity.options, descriptions.SEVERITY)],
    ['verdict', values('verdict', verdict.options, descriptions.VERDICT)],
    ['gap_reason', values('reason', gapReason.options, descriptions.GAP_REASON)],
    ['losses', losses()],
  ]);
}

function losses(): string {
  const found = [...countedLosses(), ...OTHER_LOSSES];
  const meanings: Record<string, string> = descriptions.LOSSES;
  checkSame('counter', found, Object.keys(meanings));
  return table(
    ['counter', 'makes a gap', 'meaning'],
    found.map((name) => [code(name), LOSSES_OF_THE_CALLER.has(name) ? 'no' : 'yes', meanings[name]!]),
  );
}

/** Returns the losses that `lossesOf` finds in stages in which everything was lost. */
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

/** Throws if a field has no description, or a description has no field. */
function checkSame(of: string, found: readonly string[], described: readonly string[]): void {
  const undescribed = found.filter((key) => !described.includes(key));
  const gone = described.filter((key) => !found.includes(key));
  if (undescribed.length > 0) {
    throw new Error(`event_descriptions.ts has no word for ${undescribed.join(', ')} of ${of}`);
  }
  if (gone.length > 0)
    throw new Error(`event_descriptions.ts tells of ${gone.join(', ')}: ${of} has no such thing`);
}
