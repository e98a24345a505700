/** One host: its verdict with the evidence, and the command that enforces IMDSv2. */

import { useRoute } from 'preact-iso/router';
import type { HostDetail, Readiness } from '../../../collector/contract/host.ts';
import { useResource } from '../api/resource.ts';
import { CoverageBar } from '../charts/coverage_bar.tsx';
import { TimelineChart } from '../charts/timeline.tsx';
import { count, duration, percent } from '../format.ts';
import { RunningOnly, Tag, VERDICT, VerdictBadge } from '../parts/badge.tsx';
import { Code } from '../parts/copy.tsx';
import { HeartbeatPanel } from '../parts/heartbeat.tsx';
import { FactList, Panel } from '../parts/panel.tsx';
import { ResourceView } from '../parts/states.tsx';
import { ScreenHead } from '../shell.tsx';
import { LocalTime, RelativeTime } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import { DEFAULT_DAYS, daysOf, query, useUrlState } from '../url_state.ts';
import { BootTable, GapTable, HostOffenderTable } from './host_tables.tsx';
import './detail.css';
import './host.css';

/** A smaller difference of the clocks misleads nobody. */
const MIN_SHOWN_SKEW_SECONDS = 5;

export function HostScreen() {
  const id = useRoute().params['id']!;
  const { params } = useUrlState();
  const days = daysOf(params);
  const windowQuery = query({ days: days === DEFAULT_DAYS ? null : days });
  const resource = useResource<HostDetail>(`/hosts/${urlPart(id)}${query({ days })}`);
  const host = resource.data;
  return (
    <>
      <ScreenHead
        title={host?.name ?? id}
        badge={
          host && (
            <>
              <VerdictBadge verdict={host.verdict} /> <RunningOnly host={host} />{' '}
              {host.state === 'silent' && <Tag tone="medium">Silent</Tag>}
            </>
          )
        }
        subtitle={
          host &&
          [host.name !== host.id && host.id, host.type, host.zone ?? host.region].filter(Boolean).join(' · ')
        }
        back={{ href: `/hosts${windowQuery}`, label: 'Hosts' }}
        windowed
      />
      <ResourceView resource={resource} rows={12} tall>
        {(data) => <Detail host={data} windowQuery={windowQuery} />}
      </ResourceView>
    </>
  );
}

function Detail({ host, windowQuery }: { host: HostDetail; windowQuery: string }) {
  const { readiness } = host;
  return (
    <div class="detail">
      <div class="columns">
        <div>
          <Verdict host={host} />
          <Panel title="Coverage" class="coverage-panel">
            <CoverageBar readiness={readiness} />
          </Panel>
          <Panel title="Offenders on this host" class="offenders" flush>
            <HostOffenderTable readiness={readiness} windowQuery={windowQuery} />
          </Panel>
          <Panel title="Gaps" class="gaps" flush>
            <GapTable readiness={readiness} />
          </Panel>
          <Panel title="Calls over time" class="calls">
            <TimelineChart timeline={host.timeline} label={`IMDSv1 calls of ${host.name} over time`} />
          </Panel>
        </div>
        <div>
          <Panel title="Evidence" class="evidence">
            <Evidence readiness={readiness} />
          </Panel>
          <Panel title="Host details" class="identity">
            <FactList
              facts={[
                ['ID', <code key="id">{host.id}</code>],
                ['Account', host.account],
                ['Region', host.region],
                ['Zone', host.zone],
                ['Instance type', host.type],
                ['AMI', host.image_id && <code>{host.image_id}</code>],
                ...Object.entries(host.tags).map(([key, value]): [string, string] => [`Tag ${key}`, value]),
                ['Agent', host.agent_version],
                ['Attribution', host.attribution_method],
                ['First seen', <LocalTime key="first" at={host.first_seen} />],
                ['Last seen', <RelativeTime key="last" at={host.last_seen} />],
                ['Last heartbeat', <RelativeTime key="heartbeat" at={host.last_heartbeat} />],
                ['Clock', host.clock_skew_seconds !== null && <Skew seconds={host.clock_skew_seconds} />],
              ]}
            />
          </Panel>
          <Panel title="Boots" class="boots" flush>
            <BootTable readiness={readiness} />
          </Panel>
        </div>
      </div>
      <HeartbeatPanel heartbeat={host.heartbeat} />
    </div>
  );
}

function Verdict({ host: { readiness, verdict } }: { host: HostDetail }) {
  return (
    <section class={`panel verdict tone-${VERDICT[verdict].tone}`} aria-label="Verdict">
      <div class="content">
        <p class="headline">{readiness.reason}</p>
        {readiness.verdict !== 'ready' &&
          readiness.limits.map(({ code, text }) => (
            <p key={code} class="limit">
              {text}
            </p>
          ))}
        {readiness.ready_at && (
          <p>
            Ready on <LocalTime at={readiness.ready_at} /> if there is no IMDSv1 call and no gap until then.
          </p>
        )}
        {readiness.command_notes.map((note) => (
          <p key={note} class="limit">
            {note}
          </p>
        ))}
        {readiness.command && <Code code={readiness.command} label="AWS CLI command" />}
      </div>
    </section>
  );
}

function Skew({ seconds }: { seconds: number }) {
  if (Math.abs(seconds) < MIN_SHOWN_SKEW_SECONDS) return <>same as the collector</>;
  return (
    <Tag tone="medium">{`${duration(Math.abs(seconds))} ${seconds > 0 ? 'ahead of' : 'behind'} the collector`}</Tag>
  );
}

function Evidence({ readiness }: { readiness: Readiness }) {
  const { coverage, window, cloud } = readiness;
  return (
    <FactList
      facts={[
        [
          'Window',
          <>
            <LocalTime at={window.from} /> to <LocalTime at={window.to} />
          </>,
        ],
        [
          'Watched',
          `${percent(coverage.percent)}, ${duration(coverage.watched_seconds)} of ${duration(coverage.window_seconds)}`,
        ],
        [
          'Connections',
          coverage.kernel_connections === null
            ? `${count(coverage.seen_connections)} seen; no count from the kernel`
            : `${count(coverage.seen_connections)} seen, ${count(coverage.kernel_connections)} counted by the kernel`,
        ],
        ['IMDSv1 calls', count(readiness.calls_v1)],
        ['IMDSv2 calls', count(readiness.calls_v2)],
        ['Rejected with 401', count(readiness.rejected_v1)],
        ['Refused, then took a token', readiness.adapted_v1 > 0 && count(readiness.adapted_v1)],
        ['Token refused with 401', readiness.refused_tokens > 0 && count(readiness.refused_tokens)],
        ['Requests for other clouds', readiness.other_cloud_calls > 0 && count(readiness.other_cloud_calls)],
        ['Blocked on the host', count(readiness.blocked_attempts)],
        ['Last IMDSv1', <RelativeTime key="last" at={readiness.last_v1} />],
        ['Boots in the window', count(readiness.boot_count)],
        ['Start seen', readiness.start_seen ? 'Yes' : 'No: the running state only'],
        ['Cloud: HttpTokens', cloud?.http_tokens],
        ['Cloud: metadata service', cloud?.http_endpoint === 'disabled' ? 'Off' : null],
        ['Cloud: hop limit', cloud?.hop_limit == null ? null : count(cloud.hop_limit)],
        [
          'Cloud: MetadataNoToken',
          cloud?.metadata_no_token == null
            ? null
            : `${count(cloud.metadata_no_token)} counted by AWS, ${cloud.seen_no_token === null ? 'not compared with the agent' : `${count(cloud.seen_no_token)} seen by the agent in the same hours`}`,
        ],
      ]}
    />
  );
}
