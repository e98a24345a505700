/** All hosts with their verdicts, each judged by itself. */

import type { Host, Verdict } from '../../../collector/contract/host.ts';
import { useResourceList } from '../api/resource.ts';
import { CoverageShare } from '../charts/coverage_bar.tsx';
import { count, shortCount } from '../format.ts';
import { RunningOnly, Tag, VerdictBadge } from '../parts/badge.tsx';
import { ExportLinks } from '../parts/export.tsx';
import { FieldFilters, FilterChips, TextFilter } from '../parts/filter.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { type Column, More, parseSort, sortText, Table } from '../parts/table.tsx';
import { VerdictChips } from '../parts/verdict_filter.tsx';
import { ScreenHead } from '../shell.tsx';
import { RelativeTime } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import { DEFAULT_DAYS, daysOf, type QueryParams, query, useUrlState } from '../url_state.ts';

const PAGE_ROWS = 100;
const FIELDS = {
  account: 'Account',
  region: 'Region',
  zone: 'Zone',
  type: 'Instance type',
  image_id: 'AMI',
  tag: 'Tag',
};

export function HostsScreen() {
  const { params, set } = useUrlState();
  const days = daysOf(params);
  const sort = parseSort(params.get('sort'));
  const verdict = params.getAll('verdict') as Verdict[];
  const state = params.get('state');
  const text = params.get('text') ?? '';
  const fieldFilters = Object.fromEntries(Object.keys(FIELDS).map((name) => [name, params.getAll(name)]));
  const filters = { days, verdict, state, text, sort: sort && sortText(sort), ...fieldFilters };
  return (
    <>
      <ScreenHead title="Hosts" subtitle="Which hosts are proven safe for HttpTokens=required" windowed>
        <ExportLinks path="/hosts" filters={filters} />
      </ScreenHead>
      <section class="panel flush" aria-label="Hosts">
        <div class="filters">
          <TextFilter label="Filter by name or ID" value={text} onChange={(value) => set({ text: value })} />
          <VerdictChips
            chosen={verdict}
            onChange={(chosen) => set({ verdict: chosen })}
            explanation="meaning"
          />
          <FilterChips
            label="State"
            chosen={state === null ? [] : [state]}
            onChange={(chosen) => set({ state: chosen.at(-1) ?? null })}
            options={[
              { value: 'online', label: 'Online' },
              { value: 'silent', label: 'Silent' },
            ]}
          />
          <FieldFilters fields={FIELDS} params={params} onChange={set} />
        </div>
        <HostList filters={filters} sort={sort} days={days} />
      </section>
    </>
  );
}

interface ListProps {
  filters: QueryParams;
  sort: ReturnType<typeof parseSort>;
  days: number;
}

function HostList({ filters, sort, days }: ListProps) {
  const { set } = useUrlState();
  const list = useResourceList<Host>(`/hosts${query(filters)}`, PAGE_ROWS);
  const windowQuery = query({ days: days === DEFAULT_DAYS ? null : days });
  return (
    <ResourceView resource={list} rows={12}>
      {(hosts) =>
        hosts.length === 0 ? (
          <EmptyNotice title="No hosts found.">
            <a href={`/hosts${windowQuery}`}>Remove all filters</a>, or enrol a host under{' '}
            <a href="/settings/tokens">Settings</a>.
          </EmptyNotice>
        ) : (
          <>
            {list.asOf !== null && (
              <p class="table-note">
                Judged <RelativeTime at={list.asOf} />.
              </p>
            )}
            <Table
              caption="Hosts"
              columns={columns(windowQuery)}
              rows={hosts}
              rowKey={({ id }) => id}
              sort={sort}
              onSort={(next) => set({ sort: sortText(next) })}
            />
            <More list={list} />
          </>
        )
      }
    </ResourceView>
  );
}

function columns(windowQuery: string): Column<Host>[] {
  return [
    {
      label: 'Readiness',
      key: 'verdict',
      ascendingFirst: true,
      cell: ({ verdict }) => <VerdictBadge verdict={verdict} />,
    },
    {
      label: 'Host',
      key: 'name',
      ascendingFirst: true,
      heading: true,
      cell: (host) => (
        <span class="stacked">
          <a href={`/hosts/${urlPart(host.id)}${windowQuery}`}>{host.name}</a>
          {host.name !== host.id && <span class="quiet">{host.id}</span>}
        </span>
      ),
    },
    {
      label: 'State',
      cell: ({ state }) => (state === 'online' ? 'Online' : <Tag tone="medium">Silent</Tag>),
    },
    {
      label: 'Coverage',
      key: 'coverage_percent',
      ascendingFirst: true,
      cell: (host) => (
        <>
          <CoverageShare value={host.coverage_percent} gaps={host.gap_count} /> <RunningOnly host={host} />
        </>
      ),
    },
    {
      label: 'IMDSv1 calls',
      key: 'calls_v1',
      numeric: true,
      cell: ({ calls_v1 }) => <span title={count(calls_v1)}>{shortCount(calls_v1)}</span>,
    },
    {
      label: 'Offenders',
      key: 'offender_count',
      numeric: true,
      cell: ({ offender_count }) => count(offender_count),
    },
    { label: 'Last IMDSv1', key: 'last_v1', cell: ({ last_v1 }) => <RelativeTime at={last_v1} none="–" /> },
    {
      label: 'Last heartbeat',
      key: 'last_heartbeat',
      only: 'medium',
      cell: ({ last_heartbeat }) => <RelativeTime at={last_heartbeat} none="–" />,
    },
    {
      label: 'Location',
      only: 'wide',
      cell: ({ account, region }) => (
        <span class="stacked">
          <span>{region ?? '–'}</span>
          {account && <span class="quiet">{account}</span>}
        </span>
      ),
    },
  ];
}
