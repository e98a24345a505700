/** A table of single calls. */

import type { ServedCall } from '../../../collector/contract/served_call.ts';
import { PreciseTime, RelativeTime } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import { Tag, type Tone } from './badge.tsx';
import { answererText, connectionText, relayText, roleText } from './call_way.ts';
import { PathText } from './path_text.tsx';
import { type Column, Table } from './table.tsx';
import './call_table.css';

interface Props {
  caption: string;
  calls: ServedCall[];
  /** Shows times such as `3 min. ago` instead of the time of day. */
  relative?: boolean;
  /** Adds a column with the caller, for calls of several workloads. */
  withCaller?: boolean;
}

export function CallTable({ caption, calls, relative = false, withCaller = false }: Props) {
  const columns: Column<ServedCall>[] = [
    {
      label: 'Time',
      cell: ({ time }) => (relative ? <RelativeTime at={time} /> : <PreciseTime at={time} />),
    },
    { label: 'Version', cell: (call) => <VersionTag call={call} /> },
    {
      label: 'Request',
      heading: true,
      cell: (call) => (
        <span class="stacked">
          <code class="request" title={call['url.path'] ?? undefined}>
            {call['http.request.method'] ?? '?'}{' '}
            <PathText
              text={`${call['url.path'] ?? '?'}${call['url.query'] === null ? '' : `?${call['url.query']}`}`}
            />
          </code>
          <Notes call={call} />
        </span>
      ),
    },
    { label: 'Answer', cell: (call) => <AnswerTag call={call} /> },
    ...(withCaller
      ? [
          {
            label: 'Caller',
            cell: (call: ServedCall) => (
              <a class="cut-name" href={`/offenders/${call.offender}`} title={callerName(call)}>
                {fileName(callerName(call))}
              </a>
            ),
          },
        ]
      : []),
    {
      label: 'Host',
      only: 'medium',
      cell: ({ host }) => (
        <a class="cut-name" href={`/hosts/${urlPart(host.id)}`} title={host.name}>
          {host.name}
        </a>
      ),
    },
    {
      label: 'User agent',
      only: withCaller ? 'widest' : 'wide',
      cell: (call) => (
        <span class="agent">{call['user_agent.original'] ?? <span class="quiet">none</span>}</span>
      ),
    },
  ];
  return <Table caption={caption} columns={columns} rows={calls} rowKey={({ id }) => id} />;
}

export function callerName({ process, 'source.address': address }: ServedCall): string {
  return process === null ? address : (process.script ?? process['executable.path'] ?? process.name);
}

/** Returns the last part of a path, because the request needs the room. */
function fileName(name: string): string {
  return name.startsWith('/') ? name.slice(name.lastIndexOf('/') + 1) || name : name;
}

/** Shows a relay between the caller and the service, and an answer that is not plainly the service's. */
function Notes({ call }: { call: ServedCall }) {
  const notes = [connectionText(call), relayText(call), roleText(call), answererText(call)];
  return notes.map(
    (note) =>
      note !== null && (
        <span key={note} class="call-note quiet">
          {note}
        </span>
      ),
  );
}

function VersionTag({ call }: { call: ServedCall }) {
  const version = call['imds.version'];
  if (version === null) return <Tag>–</Tag>;
  if (version === 2) return <Tag tone="good">v2</Tag>;
  if (call['imds.category'] === 'other-cloud') {
    return <Tag title="It looks for another cloud and wants nothing of EC2">other cloud</Tag>;
  }
  if (call.answered_by === 'host') {
    return <Tag title="Something on this host answered: it is no use of the service">v1 on host</Tag>;
  }
  const hasCredentials = call['imds.category'] === 'credentials' && isSuccess(call);
  return hasCredentials ? (
    <Tag tone="critical" title="Role credentials were returned without a token">
      v1 credentials
    </Tag>
  ) : (
    <Tag tone="high">v1</Tag>
  );
}

function isSuccess(call: ServedCall): boolean {
  const status = call['http.response.status_code'];
  return status !== null && status >= 200 && status < 300;
}

function AnswerTag({ call }: { call: ServedCall }) {
  const status = call['http.response.status_code'];
  const tone: Tone = status === 401 ? 'violet' : 'neutral';
  return status === null ? (
    <span class="quiet">{call.outcome}</span>
  ) : (
    <Tag tone={tone}>{String(status)}</Tag>
  );
}
