/** Every host: is it proven safe for HttpTokens=required? By host, or summed by account, region, type or a tag. */

import { useState } from 'preact/hooks';
import type { Host, ReadinessGroup, Verdict } from '../../../collector/contract/host.ts';
import { useAnswer, useList } from '../api/answer.ts';
import { CoverageShare } from '../charts/coverage_bar.tsx';
import { count, plural, shortCount } from '../format.ts';
import { Shape, Tag, VERDICT, VerdictBadge, verdicts } from '../parts/badge.tsx';
import { CopyButton } from '../parts/copy.tsx';
import { Export } from '../parts/export.tsx';
import { Choices, Conditions, TextFilter } from '../parts/filter.tsx';
import { Answered, Empty } from '../parts/states.tsx';
import { type Column, More, parseSort, sortText, Table } from '../parts/table.tsx';
import { ScreenHead } from '../shell.tsx';
import { Ago } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import { DEFAULT_DAYS, daysOf, query, useUrlState } from '../url_state.ts';
import './hosts.css';

const PAGE_ROWS = 100;
const FIELDS = {
  account: 'Account',
  region: 'Region',
  zone: 'Zone',
  type: 'Instance type',
  image_id: 'AMI',
  tag: 'Tag',
};
const GROUPS = { account: 'account', region: 'region', zone: 'zone', type: 'instance type', image_id: 'AMI' };

export function HostsScreen() {
  const { params, set } = useUrlState();
  const days = daysOf(params);
  const sort = parseSort(params.get('sort'));
  const verdict = params.getAll('verdict') as Verdict[];
  const state = params.get('state');
  const text = params.get('text') ?? '';
  const by = params.get('by');
  const conditions = Object.fromEntries(Object.keys(FIELDS).map((name) => [name, params.getAll(name)]));
  const asked = { days, verdict, state, text, sort: sort && sortText(sort), ...conditions };
  return (
    <>
      <ScreenHead title="Hosts" subtitle="Which hosts are proven safe for HttpTokens=required" windowed>
        <GroupChoice by={by} onChange={(next) => set({ by: next })} />
        <Export path="/hosts" asked={asked} />
      </ScreenHead>
      {by !== null && <Groups by={by} asked={{ days, text, ...conditions }} />}
      <section class="panel flush" aria-label="Hosts">
        <div class="filters">
          <TextFilter label="Filter by name or ID" value={text} onChange={(value) => set({ text: value })} />
          <Choices
            label="Readiness"
            chosen={verdict}
            onChange={(chosen) => set({ verdict: chosen })}
            options={verdicts.map((value) => ({
              value,
              title: VERDICT[value].meaning,
              label: (
                <span class={`in-chip tone-${VERDICT[value].tone}`}>
                  <Shape look={VERDICT[value]} /> {VERDICT[value].label}
                </span>
              ),
            }))}
          />
          <Choices
            label="State"
            chosen={state === null ? [] : [state]}
            onChange={(chosen) => set({ state: chosen.at(-1) ?? null })}
            options={[
              { value: 'online', label: 'Online' },
              { value: 'silent', label: 'Silent' },
            ]}
          />
          <Conditions fields={FIELDS} params={params} onChange={set} />
        </div>
        <HostList asked={asked} sort={sort} days={days} />
      </section>
    </>
  );
}

interface ListProps {
  asked: Parameters<typeof query>[0];
  sort: ReturnType<typeof parseSort>;
  days: number;
}

function HostList({ asked, sort, days }: ListProps) {
  const { set } = useUrlState();
  const list = useList<Host>(`/hosts${query(asked)}`, PAGE_ROWS);
  const along = query({ days: days === DEFAULT_DAYS ? null : days });
  return (
    <Answered answer={list} rows={12}>
      {(hosts) =>
        hosts.length === 0 ? (
          <Empty title="No hosts found.">
            <a href={`/hosts${along}`}>Remove all filters</a>, or enrol a host under{' '}
            <a href="/settings/tokens">Settings</a>.
          </Empty>
        ) : (
          <>
            <Table
              caption="Hosts"
              columns={columns(along)}
              rows={hosts}
              rowKey={({ id }) => id}
              sort={sort}
              onSort={(next) => set({ sort: sortText(next) })}
            />
            <More list={list} />
          </>
        )
      }
    </Answered>
  );
}

function columns(along: string): Column<Host>[] {
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
        <span class="what">
          <a href={`/hosts/${urlPart(host.id)}${along}`}>{host.name}</a>
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
      cell: ({ coverage_percent, gap_count }) => <CoverageShare value={coverage_percent} gaps={gap_count} />,
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
    { label: 'Last IMDSv1', key: 'last_v1', cell: ({ last_v1 }) => <Ago at={last_v1} none="–" /> },
    {
      label: 'Last heartbeat',
      key: 'last_heartbeat',
      only: 'medium',
      cell: ({ last_heartbeat }) => <Ago at={last_heartbeat} none="–" />,
    },
    {
      label: 'Location',
      only: 'wide',
      cell: ({ account, region }) => (
        <span class="what">
          <span>{region ?? '–'}</span>
          {account && <span class="quiet">{account}</span>}
        </span>
      ),
    },
  ];
}

function GroupChoice({ by, onChange }: { by: string | null; onChange: (by: string | null) => void }) {
  const tag = by?.startsWith('tag:') ? by.slice(4) : null;
  const [tagged, setTagged] = useState(tag !== null);
  return (
    <span class="group-choice">
      <label class="window">
        <span>Group by</span>
        <select
          value={tagged || tag !== null ? 'tag' : (by ?? '')}
          onChange={(event) => {
            const { value } = event.currentTarget;
            setTagged(value === 'tag');
            if (value !== 'tag') onChange(value === '' ? null : value);
          }}
        >
          <option value="">none</option>
          {Object.entries(GROUPS).map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
          <option value="tag">tag</option>
        </select>
      </label>
      {(tagged || tag !== null) && (
        <input
          class="short"
          aria-label="Tag key"
          placeholder="key, then Enter"
          value={tag ?? ''}
          spellcheck={false}
          onChange={(event) => {
            const key = event.currentTarget.value.trim();
            onChange(key === '' ? null : `tag:${key}`);
          }}
        />
      )}
    </span>
  );
}

function Groups({ by, asked }: { by: string; asked: Record<string, string | number | string[]> }) {
  const { set } = useUrlState();
  const answer = useAnswer<{ items: ReadinessGroup[] }>(`/readiness/groups${query({ ...asked, by })}`);
  const name = by.startsWith('tag:') ? by.slice(4) : GROUPS[by as keyof typeof GROUPS];
  const narrow = (value: string | null) =>
    by.startsWith('tag:')
      ? { tag: [`${by.slice(4)}:${value ?? ''}`], by: null }
      : { [by]: [value ?? ''], by: null };
  return (
    <section class="panel flush" aria-label={`Readiness by ${name}`}>
      <Answered answer={answer} rows={3}>
        {({ items }) => (
          <Table
            caption={`Readiness by ${name}`}
            rows={items}
            rowKey={({ value }) => value ?? ''}
            columns={[
              {
                label: name ?? by,
                heading: true,
                cell: ({ value }) =>
                  value === null ? (
                    <span class="quiet">unknown</span>
                  ) : (
                    <button type="button" class="link" onClick={() => set(narrow(value))}>
                      {value}
                    </button>
                  ),
              },
              { label: 'Hosts', numeric: true, cell: ({ hosts }) => count(hosts) },
              ...verdicts.map((verdict) => ({
                label: VERDICT[verdict].label,
                numeric: true,
                only: 'medium' as const,
                cell: (group: ReadinessGroup) => {
                  const hosts = group.verdicts[verdict] ?? 0;
                  return hosts === 0 ? (
                    <span class="quiet">0</span>
                  ) : (
                    <span class={`tone-${VERDICT[verdict].tone} toned`}>{count(hosts)}</span>
                  );
                },
              })),
              { label: 'IMDSv1 calls', numeric: true, cell: ({ calls_v1 }) => shortCount(calls_v1) },
              {
                label: 'Enforce',
                cell: ({ command, verdicts: counts }) =>
                  command && (
                    <CopyButton text={command} what={`Copy for ${plural(counts.ready ?? 0, 'ready host')}`} />
                  ),
              },
            ]}
          />
        )}
      </Answered>
    </section>
  );
}
