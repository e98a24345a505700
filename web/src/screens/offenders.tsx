/** All workloads that call IMDSv1, worst first. The address holds the filters and the order. */
import type { Offender, Severity } from '../../../collector/contract/offender.ts';
import type { TriageState } from '../../../collector/contract/triage.ts';
import { useResourceList } from '../api/resource.ts';
import { Sparkline } from '../charts/sparkline.tsx';
import { count, shortCount } from '../format.ts';
import { SEVERITY, SeverityBadge, Shape, severities } from '../parts/badge.tsx';
import { ExportLinks } from '../parts/export.tsx';
import { FieldFilters, FilterChips, TextFilter } from '../parts/filter.tsx';
import { PathText } from '../parts/path_text.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { type Column, More, parseSort, sortText, Table } from '../parts/table.tsx';
import { isTriaged, TRIAGE, TriageTag, triageStates } from '../parts/triage.tsx';
import { ScreenHead } from '../shell.tsx';
import { RelativeTime } from '../time.tsx';
import { DEFAULT_DAYS, daysOf, query, useUrlState } from '../url_state.ts';
import './offenders.css';

const PAGE_ROWS = 100;
const FIELDS = {
  client: 'Client',
  image: 'Image',
  unit: 'Unit',
  namespace: 'Namespace',
  user: 'User',
  owner: 'Owner',
  host: 'Host ID',
  account: 'Account',
  region: 'Region',
  tag: 'Tag',
};
const WORST_FIRST = { key: 'severity', descending: false };

export function OffendersScreen() {
  const { params, set } = useUrlState();
  const days = daysOf(params);
  const sort = parseSort(params.get('sort'));
  const severity = params.getAll('severity') as Severity[];
  const state = params.getAll('state') as TriageState[];
  const text = params.get('text') ?? '';
  const fieldFilters = Object.fromEntries(Object.keys(FIELDS).map((name) => [name, params.getAll(name)]));
  const filters = { days, severity, state, text, sort: sort && sortText(sort), ...fieldFilters };
  const list = useResourceList<Offender>(`/offenders${query(filters)}`, PAGE_ROWS);
  const isFiltered =
    severity.length > 0 ||
    state.length > 0 ||
    text !== '' ||
    Object.values(fieldFilters).some((values) => values.length > 0);
  return (
    <>
      <ScreenHead title="Offenders" subtitle="Workloads across the fleet that still call IMDSv1" windowed>
        <ExportLinks path="/offenders" filters={filters} />
      </ScreenHead>
      <section class="panel flush" aria-label="Offenders">
        <div class="filters">
          <TextFilter
            label="Filter by name, path, user"
            value={text}
            onChange={(value) => set({ text: value })}
          />
          <FilterChips
            label="Severity"
            chosen={severity}
            onChange={(chosen) => set({ severity: chosen })}
            options={severities.map((value) => ({
              value,
              title: SEVERITY[value].meaning,
              label: (
                <span class={`chip-label tone-${SEVERITY[value].tone}`}>
                  <Shape look={SEVERITY[value]} /> {SEVERITY[value].label}
                </span>
              ),
            }))}
          />
          <FilterChips
            label="Triage"
            chosen={state}
            onChange={(chosen) => set({ state: chosen })}
            options={triageStates.map((value) => ({
              value,
              title: TRIAGE[value].meaning,
              label: TRIAGE[value].label,
            }))}
          />
          <FieldFilters fields={FIELDS} params={params} onChange={set} />
        </div>
        <ResourceView resource={list} rows={12}>
          {(offenders) =>
            offenders.length === 0 ? (
              isFiltered ? (
                <EmptyNotice title="No offender matches.">
                  <a href={`/offenders${query({ days: days === DEFAULT_DAYS ? null : days })}`}>
                    Remove all filters
                  </a>
                </EmptyNotice>
              ) : (
                <EmptyNotice title="No IMDSv1 call was seen.">
                  See which <a href="/hosts">hosts</a> are proven safe for <code>HttpTokens=required</code>.
                </EmptyNotice>
              )
            ) : (
              <>
                <Table
                  caption="Offenders"
                  columns={columns(days)}
                  rows={offenders}
                  rowKey={({ id }) => id}
                  sort={sort ?? WORST_FIRST}
                  onSort={(next) => set({ sort: sortText(next) })}
                />
                <More list={list} />
              </>
            )
          }
        </ResourceView>
      </section>
    </>
  );
}

function columns(days: number): Column<Offender>[] {
  const windowQuery = query({ days: days === DEFAULT_DAYS ? null : days });
  return [
    {
      label: 'Severity',
      key: 'severity',
      ascendingFirst: true,
      cell: ({ severity }) => <SeverityBadge severity={severity} />,
    },
    {
      label: 'Workload',
      key: 'title',
      ascendingFirst: true,
      heading: true,
      cell: (offender) => (
        <span class="stacked">
          <a href={`/offenders/${offender.id}${windowQuery}`}>
            <PathText text={offender.title} />
          </a>
          <span class="quiet">{describeContext(offender)}</span>
          {isTriaged(offender.triage) && (
            <span class="quiet">
              <TriageTag triage={offender.triage} /> {offender.triage.owner}
            </span>
          )}
        </span>
      ),
    },
    {
      label: 'IMDSv1 calls',
      key: 'calls_v1',
      numeric: true,
      cell: ({ calls_v1 }) => <Amount value={calls_v1} />,
    },
    {
      label: 'Credentials',
      key: 'credentials_over_v1',
      numeric: true,
      only: 'medium',
      cell: ({ credentials_over_v1 }) => <Amount value={credentials_over_v1} alarming />,
    },
    { label: 'Trend', only: 'medium', cell: ({ trend_v1 }) => <Sparkline values={trend_v1} /> },
    {
      label: 'Hosts',
      key: 'host_count',
      numeric: true,
      cell: ({ host_count }) => <Amount value={host_count} />,
    },
    {
      label: 'Hosts freed',
      key: 'hosts_freed',
      numeric: true,
      only: 'widest',
      cell: ({ hosts_freed }) => <Amount value={hosts_freed} />,
    },
    {
      label: 'What to do',
      only: 'wide',
      cell: ({ advice_headline }) => <span class="advice-line">{advice_headline}</span>,
    },
    {
      label: 'First IMDSv1',
      key: 'first_v1',
      only: 'widest',
      cell: ({ first_v1 }) => <RelativeTime at={first_v1} none="–" />,
    },
    { label: 'Last IMDSv1', key: 'last_v1', cell: ({ last_v1 }) => <RelativeTime at={last_v1} none="–" /> },
  ];
}

function Amount({ value, alarming = false }: { value: number; alarming?: boolean }) {
  if (value === 0) return <span class="quiet">0</span>;
  return (
    <span class={alarming ? 'alarming' : undefined} title={count(value)}>
      {shortCount(value)}
    </span>
  );
}

function programOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Says where the workload runs, the best known names first. */
function describeContext(offender: Offender): string {
  const program = offender.executable?.slice(offender.executable.lastIndexOf('/') + 1) ?? null;
  const pod = [offender.k8s_namespace, offender.k8s_container].filter((part) => part !== null).join('/');
  const user = offender.user ?? (offender.uid === null ? null : `uid ${offender.uid}`);
  const parts = [
    offender.script === null ? null : program,
    offender.helpers.length === 0 ? null : `by ${offender.helpers.map(programOf).join(', ')}`,
    user === null ? null : `as ${user}`,
    pod === '' ? null : pod,
    offender.container_image,
    offender.systemd_unit,
    offender.attributed ? null : 'process not identified',
  ];
  return parts.filter((part) => part !== null).join(' · ');
}
