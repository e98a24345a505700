/** Prints a call as one line: its time, IMDS version, status, request and caller. */
import { styleText } from 'node:util';
import type { Ancestor, Call, ProcessFacts } from '../../protocol/call.ts';
import { isRefusedToken, isV1Use, judgedFields } from '../../protocol/v1_use.ts';
import { columnsOf, cutToColumns } from './text_width.ts';
import { visibleText } from './visible_text.ts';

export interface LineOptions {
  colour: boolean;
  /** Characters that fit on the line; null for no limit. */
  columns: number | null;
}

type Style = Parameters<typeof styleText>[0];
interface Piece {
  text: string;
  style?: Style;
}

const UNVERSIONED = { ipv4: ' IMDS ?  ', ipv6: ' IMDS ?  ', ecs: ' ECS     ', eks: ' EKS     ' };

/** Number of parents that a line shows at most. */
const MAX_PARENTS = 4;

export function callLine(call: Call, { colour, columns }: LineOptions): string {
  const isV1 = isV1Use(judgedFields(call));
  const pieces: Piece[] = [
    { text: localTime(call.time), style: 'dim' },
    badge(call),
    { text: statusText(call), style: statusStyle(call) },
    { text: requestText(call), style: targetStyle(call) },
    { text: caller(call), style: isV1 ? 'bold' : 'reset' },
    ...workload(call),
  ];
  const notes = notesOf(call);
  if (notes !== '') pieces.push({ text: notes, style: 'yellow' });
  const parents = parentsText(call.process?.ancestors ?? []);
  if (parents !== '') pieces.push({ text: parents, style: 'dim' });
  // Every text is made safe for a terminal before it is measured.
  const visible = pieces.map((piece) => ({ ...piece, text: visibleText(piece.text) }));
  return fit(visible, columns)
    .map(({ text, style }) =>
      colour && style !== undefined ? styleText(style, text, { validateStream: false }) : text,
    )
    .join(' ');
}

function badge(call: Call): Piece {
  switch (call['imds.version']) {
    case 1:
      if (call['imds.category'] === 'other-cloud') return { text: ' other  ', style: 'dim' };
      if (call.answered_by === 'host') return { text: ' IMDSv1 ', style: 'dim' };
      return { text: ' IMDSv1 ', style: ['bold', 'white', 'bgRed'] };
    case 2:
      return { text: ' IMDSv2 ', style: 'green' };
    case null:
      return { text: UNVERSIONED[call['imds.endpoint']], style: 'dim' };
  }
}

/** Returns the local time of day, with milliseconds. */
function localTime(timestamp: string): string {
  const date = new Date(timestamp);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

function statusText(call: Call): string {
  const status = call['http.response.status_code'];
  if (call.outcome === 'answered') return String(status ?? '-').padEnd(3);
  return status === null ? call.outcome : `${status} ${call.outcome}`;
}

function statusStyle(call: Call): Style {
  if (call.outcome !== 'answered') return 'yellow';
  return (call['http.response.status_code'] ?? 0) >= 400 ? 'yellow' : 'dim';
}

function requestText(call: Call): string {
  if (call.outcome === 'blocked') return 'a blocked attempt, which did not leave this host';
  return `${(call['http.request.method'] ?? '?').padEnd(4)} ${target(call)}`;
}

function target(call: Call): string {
  const query = call['url.query'];
  const address = call['imds.endpoint'] === 'ipv6' ? '[ipv6]' : '';
  return visibleText(`${address}${call['url.path'] ?? '(not seen)'}${query === null ? '' : `?${query}`}`);
}

function targetStyle(call: Call): Style {
  if (call['imds.version'] === 1 && call['imds.category'] === 'credentials') return ['bold', 'red'];
  return 'reset';
}

function caller(call: Call): string {
  const { process } = call;
  if (process === null) return `caller unknown (${call['source.address']}:${call['source.port']})`;
  const uncertainMark = call['attribution.confidence'] === 'exact' ? '' : '?';
  const user = process['owner.name'] ?? `uid ${process['owner.uid']}`;
  const { via } = call;
  const relay = via == null ? '' : ` via ${via.script ?? via['executable.path'] ?? via.name}[${via.pid}]`;
  const role = call['caller.role'] === 'relay' ? ', acts for others' : '';
  return visibleText(
    `${programName(process)}[${process.pid}]${uncertainMark} (${user}${role})${relay}${connectionText(call)}`,
  );
}

/** Returns whose connection the caller used, if it did not open it itself. */
function connectionText({ opener, 'caller.connection': connection }: Call): string {
  const by =
    opener == null
      ? ''
      : ` opened by ${opener.script ?? opener['executable.path'] ?? opener.name}[${opener.pid}]`;
  if (connection === 'handed') return ` on a connection${by || ' of another process'}`;
  return connection === 'shared' ? ` on a shared connection${by}` : '';
}

/** Returns the executable's path; for a script, the interpreter's name and the script's path. */
function programName({ 'executable.path': executable, name, script }: ProcessFacts): string {
  if (script === null) return executable ?? name;
  return `${(executable ?? name).replace(/^.*\//, '')} ${script}`;
}

/** Returns the workload of the caller: its pod, else its container, else its unit. */
function workload({ container, k8s, systemd }: Call): Piece[] {
  let text = '';
  if (k8s?.['pod.name'])
    text = `in pod ${k8s['namespace.name']}/${k8s['pod.name']}/${k8s['container.name'] ?? '?'}`;
  else if (container !== null) text = `in container ${container.name ?? container.id.slice(0, 12)}`;
  else if (systemd?.unit) text = `in ${systemd.unit}`;
  return text === '' ? [] : [{ text: visibleText(text), style: 'cyan' }];
}

function parentsText(ancestors: Ancestor[]): string {
  const names = ancestors.slice(0, MAX_PARENTS).map(({ name, pid }) => `${name}[${pid}]`);
  if (names.length === 0) return '';
  return visibleText(`← ${names.join(' ← ')}${ancestors.length > MAX_PARENTS ? ' ← …' : ''}`);
}

function notesOf(call: Call): string {
  const notes: string[] = [];
  if (call.answered_by === 'host') notes.push('answered on this host, no use of the service');
  if (call['imds.category'] === 'other-cloud') notes.push('looks for another cloud');
  if (call['imds.version'] === 1 && call['imds.category'] === 'credentials' && call.outcome === 'answered') {
    const status = call['http.response.status_code'] ?? 0;
    if (status < 400 && call.answered_by !== 'host') notes.push('credentials were sent without a token');
  }
  if (call['imds.fallback'] === 'token_unanswered') {
    notes.push(
      call.container === null
        ? 'fell back to IMDSv1: its token request got no answer'
        : 'fell back to IMDSv1: its token request got no answer (hop limit 1?). Set the hop limit to 2, or block metadata for this container',
    );
  } else if (call['imds.fallback'] === 'token_refused') {
    notes.push('fell back to IMDSv1: its token request was refused');
  }
  if (call['imds.fallback'] === 'adapted') {
    notes.push('refused with 401; then it took a token and succeeded');
  } else if (isRefusedToken({ ...judgedFields(call), status: call['http.response.status_code'] })) {
    notes.push('its token is refused: it is stale or wrong');
  }
  const verdict = call['imds.server_version'];
  if (verdict !== null && verdict !== call['imds.version'])
    notes.push(`the metadata service treated it as IMDSv${verdict}`);
  return notes.length === 0 ? '' : `! ${notes.join('; ')}`;
}

/** Cuts pieces from the end until the line fits, and marks the cut with an ellipsis. */
function fit(pieces: Piece[], columns: number | null): Piece[] {
  if (columns === null) return pieces;
  const fitting: Piece[] = [];
  let room = columns;
  for (const piece of pieces) {
    const width = columnsOf(piece.text) + (fitting.length > 0 ? 1 : 0);
    if (width <= room) {
      fitting.push(piece);
      room -= width;
      continue;
    }
    const keep = room - (fitting.length > 0 ? 1 : 0) - 1;
    if (keep > 0) fitting.push({ ...piece, text: `${cutToColumns(piece.text, keep)}…` });
    break;
  }
  return fitting;
}
