/** The overview: the trend of IMDSv1 calls, the offenders, the verdicts of the hosts and the silent hosts. */

import type { BurnDown } from '../../../collector/contract/fix_first.ts';
import type { Host, Overview } from '../../../collector/contract/host.ts';
import { useResource } from '../api/resource.ts';
import { BurnDownChart } from '../charts/burn_down.tsx';
import { TimelineChart } from '../charts/timeline.tsx';
import { VerdictBar } from '../charts/verdict_bar.tsx';
import { count, percent, plural, shortCount } from '../format.ts';
import { Panel } from '../parts/panel.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { ScreenHead } from '../shell.tsx';
import { RelativeTime } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import { DEFAULT_DAYS, daysOf, query, useUrlState } from '../url_state.ts';
import { OffendersPanel } from './overview_offenders.tsx';
import './overview.css';

const SILENT_SHOWN = 10;

export function OverviewScreen() {
  const { params } = useUrlState();
  const days = daysOf(params);
  const overview = useResource<Overview>(`/overview${query({ days })}`);
  const windowParams = days === DEFAULT_DAYS ? {} : { days };
  return (
    <>
      <ScreenHead title="Overview" windowed />
      <ResourceView resource={overview} rows={8} tall>
        {(data) =>
          data.hosts.total === 0 ? <FirstSteps /> : <Findings overview={data} windowParams={windowParams} />
        }
      </ResourceView>
    </>
  );
}

interface FindingsProps {
  overview: Overview;
  windowParams: { days?: number };
}

function Findings({ overview, windowParams }: FindingsProps) {
  const { hosts, groups, calls, offenders } = overview;
  const safe = (hosts.verdicts.ready ?? 0) + (hosts.verdicts.enforced ?? 0);
  return (
    <div class="overview">
      <ul class="tiles">
        <Tile
          label="Credentials over IMDSv1"
          value={calls.credentials_over_v1}
          tone={calls.credentials_over_v1 > 0 ? 'critical' : 'good'}
          note={calls.credentials_over_v1 > 0 ? 'returned without a token' : 'none returned without a token'}
          href={`/offenders${query({ ...windowParams, severity: 'credentials' })}`}
        />
        <Tile
          label="Offenders"
          value={offenders}
          tone={offenders > 0 ? 'high' : 'good'}
          note={offenders === 1 ? 'workload still calls IMDSv1' : 'workloads still call IMDSv1'}
          href={`/offenders${query(windowParams)}`}
        />
        <Tile
          label="IMDSv1 calls"
          value={calls.v1}
          note={
            calls.v1 + calls.v2 === 0
              ? 'no calls were seen'
              : `${percent((calls.v1 / (calls.v1 + calls.v2)) * 100)} of all calls${calls.rejected_v1 > 0 ? `, ${count(calls.rejected_v1)} rejected` : ''}`
          }
        />
        <Tile
          label="Safe to enforce"
          value={safe}
          tone={safe === hosts.total ? 'good' : 'neutral'}
          note={`of ${plural(hosts.total, 'host')}, ${count(hosts.verdicts.enforced ?? 0)} enforced already`}
          href={`/hosts${query({ ...windowParams, verdict: ['ready', 'enforced'] })}`}
        />
        {groups !== null && groups.total > 0 && (
          <Tile
            label="Groups safe to enforce"
            value={(groups.verdicts.ready ?? 0) + (groups.verdicts.enforced ?? 0)}
            tone={groupTone(groups)}
            note={`of ${plural(groups.total, 'Auto Scaling group')}, ${count(groups.verdicts.blocked ?? 0)} blocked`}
            href={`/groups${query({ ...windowParams, verdict: ['ready', 'enforced'] })}`}
          />
        )}
        <Tile
          label="Silent hosts"
          value={hosts.silent}
          tone={hosts.silent > 0 ? 'medium' : 'good'}
          note={hosts.silent > 0 ? 'their agents stopped reporting' : 'every agent reports'}
          href={`/hosts${query({ ...windowParams, state: 'silent' })}`}
        />
      </ul>
      <Panel title="IMDSv1 calls over time" class="calls">
        <TimelineChart timeline={overview.timeline} label="IMDSv1 calls over time" />
      </Panel>
      <Panel
        title="Hosts by readiness"
        class="readiness"
        aside={<a href={`/hosts${query(windowParams)}`}>All hosts</a>}
      >
        <VerdictBar verdicts={hosts.verdicts} total={hosts.total} windowParams={windowParams} />
      </Panel>
      <OffendersPanel windowParams={windowParams} />
      <ProgressPanel days={windowParams.days ?? DEFAULT_DAYS} />
      <Panel
        title="Silent hosts"
        class="silent"
        flush
        aside={
          hosts.silent > SILENT_SHOWN && (
            <a href={`/hosts${query({ ...windowParams, state: 'silent' })}`}>All {count(hosts.silent)}</a>
          )
        }
      >
        <Silent hosts={overview.silent_hosts.slice(0, SILENT_SHOWN)} />
      </Panel>
    </div>
  );
}

function groupTone({ total, verdicts }: NonNullable<Overview['groups']>): string {
  return (verdicts.ready ?? 0) + (verdicts.enforced ?? 0) === total ? 'good' : 'neutral';
}

/** The chart looks back further than the window, because a window has too few points for a trend. */
const PROGRESS_DAYS = 90;

function ProgressPanel({ days }: { days: number }) {
  const resource = useResource<BurnDown>(`/burn-down${query({ days: Math.max(days, PROGRESS_DAYS) })}`);
  return (
    <Panel title="Progress" class="progress">
      <ResourceView resource={resource} rows={4}>
        {(burnDown) => <BurnDownChart burnDown={burnDown} />}
      </ResourceView>
    </Panel>
  );
}

interface TileProps {
  label: string;
  value: number;
  note: string;
  tone?: string;
  href?: string;
}

function Tile({ label, value, note, tone = 'neutral', href }: TileProps) {
  const content = (
    <>
      <span class="label">{label}</span>
      <span class="value" title={count(value)}>
        {shortCount(value)}
      </span>
      <span class="note">{note}</span>
    </>
  );
  return <li class={`tile tone-${tone}`}>{href ? <a href={href}>{content}</a> : <div>{content}</div>}</li>;
}

function Silent({ hosts }: { hosts: Pick<Host, 'id' | 'name' | 'last_heartbeat'>[] }) {
  if (hosts.length === 0) return <EmptyNotice title="None. Every agent reports." />;
  return (
    <ul class="rows">
      {hosts.map((host) => (
        <li key={host.id}>
          <span class="stacked">
            <a href={`/hosts/${urlPart(host.id)}`}>{host.name}</a>
            {host.name !== host.id && <span class="quiet">{host.id}</span>}
          </span>
          <span class="time">
            <RelativeTime at={host.last_heartbeat} none="no heartbeat yet" />
          </span>
        </li>
      ))}
    </ul>
  );
}

function FirstSteps() {
  return (
    <section class="panel">
      <EmptyNotice title="No host has reported yet.">
        Create an enrolment token under <a href="/settings/tokens">Settings</a>. Then start the agent on a
        host:{' '}
        <code>
          imdswatch agent --collector-url {location.origin.replace(/^http/, 'ws')} --agent-token-file FILE
        </code>
      </EmptyNotice>
    </section>
  );
}
