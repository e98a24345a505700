/** One offender: its calls, its workload, and the advice for the team that owns it. */

import { useRoute } from 'preact-iso/router';
import type { Advice } from '../../../collector/contract/advice.ts';
import type { OffenderDetail } from '../../../collector/contract/offender.ts';
import type { ServedCall } from '../../../collector/contract/served_call.ts';
import { useResource } from '../api/resource.ts';
import { ProcessTree } from '../charts/process_tree.tsx';
import { TimelineChart } from '../charts/timeline.tsx';
import { count, plural } from '../format.ts';
import { SEVERITY, SeverityBadge } from '../parts/badge.tsx';
import { CallTable } from '../parts/call_table.tsx';
import { Code } from '../parts/copy.tsx';
import { FactList, Panel } from '../parts/panel.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { ScreenHead } from '../shell.tsx';
import { LocalTime, RelativeTime } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import { DEFAULT_DAYS, daysOf, query, useUrlState } from '../url_state.ts';
import { TriagePanel } from './offender_triage.tsx';
import './detail.css';
import './offender.css';

const CALLS_SHOWN = 12;

export function OffenderScreen() {
  const id = useRoute().params['id']!;
  const { params } = useUrlState();
  const days = daysOf(params);
  const windowQuery = query({ days: days === DEFAULT_DAYS ? null : days });
  const resource = useResource<OffenderDetail>(`/offenders/${urlPart(id)}${query({ days })}`);
  const offender = resource.data;
  return (
    <>
      <ScreenHead
        title={offender?.title ?? 'Offender'}
        badge={offender && <SeverityBadge severity={offender.severity} />}
        subtitle={offender && SEVERITY[offender.severity].meaning}
        back={{ href: `/offenders${windowQuery}`, label: 'Offenders' }}
        windowed
      />
      <ResourceView resource={resource} rows={12} tall>
        {(data) => <Detail offender={data} days={days} windowQuery={windowQuery} reload={resource.reload} />}
      </ResourceView>
    </>
  );
}

function Detail({
  offender,
  days,
  windowQuery,
  reload,
}: {
  offender: OffenderDetail;
  days: number;
  windowQuery: string;
  reload: () => void;
}) {
  return (
    <div class="detail">
      <div class="columns">
        <div>
          <AdvicePanel advice={offender.advice} />
          <Panel title="Calls over time" class="calls">
            <TimelineChart
              timeline={offender.timeline}
              label={`IMDSv1 calls of ${offender.title} over time`}
            />
          </Panel>
          <Panel
            title="Process tree"
            class="processes"
            note="The latest processes of this workload, with their parents"
          >
            {offender.processes.some(({ process }) => process !== null) ? (
              <ProcessTree processes={offender.processes} />
            ) : (
              <EmptyNotice title="The process could not be identified.">
                Only the host and the source address are known. The agent identifies more processes with eBPF.
                Run <code>imdswatch doctor</code> on the host to see what prevents it.
              </EmptyNotice>
            )}
          </Panel>
          <Releases releases={offender.releases} />
          <Panel title="Paths requested without a token" class="paths" flush>
            <Paths offender={offender} />
          </Panel>
          <Panel title={plural(offender.host_count, 'host')} class="hosts" flush>
            <Hosts offender={offender} windowQuery={windowQuery} />
          </Panel>
        </div>
        <div>
          <TriagePanel key={offender.id} offender={offender} reload={reload} />
          <Panel title="Activity" class="did">
            <FactList
              facts={[
                ['IMDSv1 calls', count(offender.calls_v1)],
                [
                  'Credentials over IMDSv1',
                  offender.credentials_over_v1 > 0 ? (
                    <span class="alarming">{count(offender.credentials_over_v1)}</span>
                  ) : (
                    count(0)
                  ),
                ],
                ['Roles', offender.roles_v1.length > 0 && <code>{offender.roles_v1.join(', ')}</code>],
                [
                  'Last credentials over IMDSv1',
                  offender.last_credentials_over_v1 && (
                    <RelativeTime at={offender.last_credentials_over_v1} />
                  ),
                ],
                ['Rejected with 401', offender.rejected_v1 > 0 && count(offender.rejected_v1)],
                ['Refused, then took a token', offender.adapted_v1 > 0 && count(offender.adapted_v1)],
                [
                  'Token refused with 401',
                  offender.refused_tokens > 0 && (
                    <span class="alarming">{count(offender.refused_tokens)}</span>
                  ),
                ],
                [
                  'Requests for other clouds',
                  offender.other_cloud_calls > 0 && count(offender.other_cloud_calls),
                ],
                [
                  'Fallbacks: token request unanswered',
                  offender.fallbacks.token_unanswered > 0 && count(offender.fallbacks.token_unanswered),
                ],
                [
                  'Fallbacks: token request refused',
                  offender.fallbacks.token_refused > 0 && count(offender.fallbacks.token_refused),
                ],
                [
                  'Answered on the host, no use of the service',
                  offender.answered_by_host_v1 > 0 && count(offender.answered_by_host_v1),
                ],
                ['Blocked on the host', offender.blocked_attempts > 0 && count(offender.blocked_attempts)],
                ['IMDSv2 calls', count(offender.calls_v2)],
                ['Hosts freed by a fix', `${count(offender.hosts_freed)} of ${count(offender.host_count)}`],
                ['First IMDSv1', <LocalTime key="first" at={offender.first_v1} />],
                ['Last IMDSv1', <RelativeTime key="last" at={offender.last_v1} />],
              ]}
            />
          </Panel>
          <Panel title="Workload" class="identity">
            <FactList
              facts={[
                ['Executable', offender.executable && <code>{offender.executable}</code>],
                ['Script', offender.script && <code>{offender.script}</code>],
                ['Name', offender.name && <code>{offender.name}</code>],
                ['Calls by', offender.helpers.length > 0 && <code>{offender.helpers.join(', ')}</code>],
                ['Started by', startedBy(offender)],
                [
                  'Acts for',
                  offender.acts_for_others &&
                    'other programs, which are not known: it is a proxy or the like',
                ],
                ['Command', offender.entry && <code>{offender.entry}</code>],
                ['User', offender.user ?? (offender.uid === null ? null : `uid ${offender.uid}`)],
                ['Image', offender.container_image && <code>{offender.container_image}</code>],
                ['Unit', offender.systemd_unit && <code>{offender.systemd_unit}</code>],
                ['Namespace', offender.k8s_namespace],
                ['Container', offender.k8s_container],
                ['Client', offender.advice.client],
                ['Versions seen', offender.advice.versions_seen.join(', ')],
                ['Source address', offender.source_address && <code>{offender.source_address}</code>],
                ['Accounts', offender.accounts.join(', ')],
                ['Regions', offender.regions.join(', ')],
              ]}
            />
          </Panel>
        </div>
      </div>
      <LatestCalls id={offender.id} days={days} />
    </div>
  );
}

/** Says who started the helpers of a workload that is no program itself. */
function startedBy({ started_by }: OffenderDetail): string | null {
  switch (started_by) {
    case 'cron':
      return 'a cron entry';
    case 'unit':
      return 'its unit';
    case 'container':
      return 'its container';
    case 'supervisor':
      return 'a supervisor';
    case 'session':
      return 'a person, in a session';
    case 'unknown':
      return 'not known: the parents had ended before they could be read';
    case null:
      return null;
  }
}

/** Lists the releases of a workload, each with its own calls; nothing for a workload without versions. */
function Releases({ releases }: { releases: OffenderDetail['releases'] }) {
  if (releases.every(({ release }) => release === null)) return null;
  return (
    <Panel title="Releases" class="releases" flush>
      <Table
        caption="Releases of this workload, that which called last first"
        rows={releases}
        rowKey={({ id }) => id}
        columns={[
          {
            label: 'Release',
            heading: true,
            cell: ({ release, script, executable }) => (
              <span class="stacked">
                <span>{release ?? 'without a version'}</span>
                <code class="quiet">{script ?? executable}</code>
              </span>
            ),
          },
          { label: 'IMDSv1', numeric: true, cell: ({ calls_v1 }) => count(calls_v1) },
          { label: 'IMDSv2', numeric: true, only: 'medium', cell: ({ calls_v2 }) => count(calls_v2) },
          { label: 'Last call', cell: ({ last_seen }) => <RelativeTime at={last_seen} /> },
        ]}
      />
    </Panel>
  );
}

function AdvicePanel({ advice }: { advice: Advice }) {
  return (
    <Panel
      title="What to do"
      class="advice"
      aside={
        advice.source && (
          <a href={advice.source} rel="noreferrer" target="_blank">
            Documentation
          </a>
        )
      }
    >
      <p class="headline">{advice.headline}</p>
      <p>{advice.explanation}</p>
      {(advice.minimum_version || advice.fallback_off_since) && (
        <FactList
          facts={[
            ['Supports IMDSv2 since', advice.minimum_version],
            ['Fallback can be turned off since', advice.fallback_off_since],
          ]}
        />
      )}
      {advice.steps.length > 0 && (
        <ol class="steps">
          {advice.steps.map((step, index) => (
            <li key={step.text}>
              {step.text}
              {step.code && <Code code={step.code} label={`Step ${index + 1}, ${step.language ?? 'text'}`} />}
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}

function Paths({ offender: { paths_v1 } }: { offender: OffenderDetail }) {
  if (paths_v1.length === 0) return <EmptyNotice title="None. No request without a token was seen." />;
  return (
    <Table
      caption="Paths requested without a token, most frequent first"
      rows={paths_v1}
      rowKey={({ path }) => path ?? ''}
      columns={[
        {
          label: 'Path',
          heading: true,
          cell: ({ path }) => (path === null ? <span class="quiet">other paths</span> : <code>{path}</code>),
        },
        { label: 'Calls', numeric: true, cell: ({ calls }) => count(calls) },
        { label: 'Last request', cell: ({ last_seen }) => <RelativeTime at={last_seen} /> },
      ]}
    />
  );
}

function Hosts({ offender: { all_hosts }, windowQuery }: { offender: OffenderDetail; windowQuery: string }) {
  if (all_hosts.length === 0) return <EmptyNotice title="No host in this window." />;
  return (
    <Table
      caption="Hosts that it calls from, most recent first"
      rows={all_hosts}
      rowKey={({ id }) => id}
      columns={[
        {
          label: 'Host',
          heading: true,
          cell: (host) => (
            <span class="stacked">
              <a href={`/hosts/${urlPart(host.id)}${windowQuery}`}>{host.name}</a>
              <span class="quiet">
                {[host.id !== host.name && host.id, host.account, host.region].filter(Boolean).join(' · ')}
              </span>
            </span>
          ),
        },
        { label: 'IMDSv1 calls', numeric: true, cell: ({ calls_v1 }) => count(calls_v1) },
        { label: 'Last call', cell: ({ last_v1, last_seen }) => <RelativeTime at={last_v1 ?? last_seen} /> },
      ]}
    />
  );
}

function LatestCalls({ id, days }: { id: string; days: number }) {
  const calls = useResource<{ items: ServedCall[] }>(
    `/calls${query({ offender: id, days, limit: CALLS_SHOWN })}`,
  );
  return (
    <Panel
      title="Latest calls"
      class="latest"
      flush
      aside={<a href={`/live${query({ offender: id })}`}>Watch live</a>}
    >
      <ResourceView resource={calls} rows={4}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyNotice title="No single calls are stored for this window.">
              Single calls are deleted sooner than their hourly sums. See{' '}
              <a href="/settings/retention">Retention</a>.
            </EmptyNotice>
          ) : (
            <CallTable caption="Latest calls, newest first" calls={items} relative />
          )
        }
      </ResourceView>
    </Panel>
  );
}
