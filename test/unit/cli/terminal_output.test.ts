/** Tests that no table, JSON or log line sends a terminal control characters from outside. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { pino } from 'pino';
import { doctorTable } from '../../../cli/doctor/table.ts';
import { destination } from '../../../cli/log.ts';
import { destinationTable, unroutedText } from '../../../cli/terminal/alert_table.ts';
import { callLine } from '../../../cli/terminal/call_line.ts';
import { CallPrinter, lossLine } from '../../../cli/terminal/call_output.ts';
import { groupsTable, groupText } from '../../../cli/terminal/groups_table.ts';
import { offendersTable } from '../../../cli/terminal/offenders_table.ts';
import { readinessTable } from '../../../cli/terminal/readiness_table.ts';
import { reconciliationTable } from '../../../cli/terminal/reconciliation_table.ts';
import { tokenTable } from '../../../cli/terminal/token_table.ts';
import { visibleJson, visibleLines, visibleText } from '../../../cli/terminal/visible_text.ts';
import type { Reconciliation } from '../../../collector/contract/cloud.ts';
import {
  makeGroup,
  makeGroupDetail,
  makeHostDetail,
  makeOffender,
} from '../../support/collector/api/findings.ts';
import { makeCall } from '../../support/collector/calls.ts';

/**
 * Contains C0 controls without the line feed, DEL, C1 controls (CSI, OSC, DCS), line and paragraph
 * separators, bidirectional controls, marks, tags and half a surrogate pair.
 */
const HOSTILE = [
  '\0\x07\b\t\r\x1b[2J\x1b]0;owned\x07\x7f',
  '\u0080\u0085\u0090\u009b31m\u009d0;owned\u009c\u009f',
  '\u2028\u2029\u200e\u200f\u202a\u202e\u2066\u2069\u200b\ufeff\u00ad\u061c',
  '\u{e0001}\u{e0041}\ud800',
].join('');
const ACTED_ON = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
/** Fields whose values select a branch. They come from fixed lists and never from outside. */
const OURS = new Set([
  'severity', 'verdict', 'state', 'kind', 'result', 'role', 'rules', 'status', 'part', 'outcome', 'advice_kind', 'check',
  'imds.kind', 'imds.category', 'imds.fallback', 'attribution.method', 'attribution.confidence',
]); // biome-ignore format: a list

/** Returns the same value with hostile characters in each of its texts. */
function hostile<T>(value: T, key = ''): T {
  if (typeof value === 'string') return (OURS.has(key) ? value : `${HOSTILE}${value}${HOSTILE}`) as T;
  if (Array.isArray(value)) return value.map((item) => hostile(item, key)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, hostile(item, name)])) as T;
}

function assertHarmless(text: string): void {
  assert.ok(text.length > 0);
  const found = ACTED_ON.exec(text.replaceAll('\n', ''));
  assert.equal(
    found,
    null,
    `U+${found?.[0].codePointAt(0)?.toString(16)} in ${JSON.stringify(text.slice(0, 200))}`,
  );
}

const offenders = [0, 1, 2, 3, 4].map((number) => ({
  ...makeOffender(number, {
    script: '/srv/x.py',
    container_image: 'image:1',
    k8s_namespace: 'default',
    k8s_container: 'app',
    source_address: '10.0.0.1',
  }),
  advice_headline: 'Update it',
}));
const hosts = [0, 1, 2].map((number) => {
  const { readiness, ...host } = makeHostDetail(number);
  const more = { command: 'aws one\naws two', ready_at: host.last_seen };
  return { host, readiness: { ...readiness, ...more } };
});
const calls = [makeCall(), makeCall({ 'url.query': 'a=b', 'user_agent.original': 'x', 'imds.role': 'web' })];
const time = '2026-11-22T08:00:00.000000Z';
const token = {
  id: '1', kind: 'person', name: 'alice', role: 'viewer', scope: null, host_id: 'i-1', created: time, created_by: 'x', expires: time,
  last_used: time, revoked: null,
} as const; // biome-ignore format: a record
const alertDestination = {
  id: '1', name: 'hook', enabled: true, rules: ['host_silent'], kind: 'http', preset: 'webhook', target: 'https://x', created: time,
  last_delivered: time, last_error: 'it answered', waiting: 0, digest: false, send_resolved: true,
  given_up: 2, last_given_up: time, given_up_reason: 'it was refused', stream: 'calls', shape: 'native',
  progress: { since: time, sent: 1, behind: 2, oldest: time, checked: time, deleted: 3, unfit: 4, warning: 'calls wait' },
} as const; // biome-ignore format: a record
const doctorResults = [
  { part: 'agent', check: 'capture', status: 'fail', text: 'it fails', remedy: 'repair it' },
] as const;
const reconciliation = [
  { id: 'i-1', name: 'web', result: 'agrees', metadata_no_token: 1, seen_no_token: 1, unseen: 0, hours: 1 },
] as unknown as Reconciliation[];
const groups = [makeGroup()];

describe('tables', () => {
  const colours = { colour: false, columns: 120 };
  const tables: Record<string, () => string> = {
    offenders: () => offendersTable(hostile(offenders), { ...colours, all: true }),
    readiness: () => readinessTable(hostile(hosts), 120),
    groups: () => groupsTable(hostile(groups), HOSTILE, 120),
    group: () => groupText(hostile(makeGroupDetail()), 120),
    reconciliation: () => reconciliationTable(hostile(reconciliation)),
    tokens: () => tokenTable([hostile({ ...token })], Date.parse(time)),
    destinations: () =>
      destinationTable([
        hostile({
          ...alertDestination,
          rules: [...alertDestination.rules],
          owners: { patterns: ['pay-*'], unowned: true },
        }),
      ]),
    'alerts for no destination': () =>
      unroutedText(hostile({ count: 2, last: time, title: 'a title', owner: 'payments' })).trimEnd(),
    doctor: () => doctorTable(hostile([...doctorResults]), 100, false),
    losses: () => lossLine({ [HOSTILE]: 1 }),
    'an error of several lines': () => visibleLines(`one${HOSTILE}\ntwo${HOSTILE}`),
  };
  for (const [name, table] of Object.entries(tables)) it(name, () => assertHarmless(table()));
  it('call lines, also with the colours that are ours', () => {
    for (const call of hostile(calls)) {
      assertHarmless(callLine(call, colours));
      assertHarmless(stripVTControlCharacters(callLine(call, { colour: true, columns: 120 })));
    }
  });
});

describe('JSON', () => {
  const values = { offenders, hosts, calls, token, alertDestination, doctorResults, reconciliation, groups };
  for (const [name, plainValue] of Object.entries(values)) {
    it(`${name}: harmless, and the same when it is parsed`, () => {
      const value = hostile(plainValue);
      for (const indent of [undefined, 2]) {
        const text = visibleJson(value, indent);
        assertHarmless(text);
        assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
      }
    });
  }
  it('names of fields too', () => {
    assert.deepEqual(JSON.parse(visibleJson({ [HOSTILE]: 1 })), { [HOSTILE]: 1 });
    assertHarmless(visibleJson({ [HOSTILE]: 1 }));
  });
  it('lines of calls, as watch and read print them', () => {
    const lines: string[] = [];
    const printer = new CallPrinter(
      { json: true, color: 'never' },
      { write: (line) => lines.push(line) > 0 },
    );
    const value = hostile(calls);
    for (const call of value) printer.print(call);
    for (const line of lines) assertHarmless(line);
    assert.deepEqual(
      lines.map((line) => JSON.parse(line)),
      value,
    );
  });
});

it('log lines: harmless, and the same when they are parsed', () => {
  const lines: string[] = [];
  const log = pino({ base: null }, destination({ write: (line) => lines.push(line) }));
  log.warn({ from: HOSTILE, [HOSTILE]: 1, err: new Error(HOSTILE) }, HOSTILE);
  const [line = ''] = lines;
  assert.ok(line.endsWith('}\n'));
  assertHarmless(line);
  assert.equal(JSON.parse(line).from, HOSTILE);
});

it('C1 controls are escaped in JSON as JSON does it', () => {
  assert.equal(visibleJson({ a: '\u009b' }), '{"a":"\\u009b"}');
  assert.equal(visibleText('\u009b\u0085'), '\\x9b\\x85');
});

it('no command prints JSON, or a text from outside, by another way', () => {
  const directory = join(import.meta.dirname, '../../../cli');
  const files = globSync('**/*.ts', { cwd: directory });
  assert.ok(files.length > 20);
  for (const file of files) {
    const source = readFileSync(join(directory, file), 'utf8');
    for (const [call] of source.matchAll(/\.write\((?:[^()]|\([^()]*\))*\)/g)) {
      assert.doesNotMatch(call, /JSON\.stringify/, `${file}: ${call}`);
    }
  }
});
