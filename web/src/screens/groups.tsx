/** All groups of an attribute with their verdicts, which are also about instances that are gone. */
import { useState } from 'preact/hooks';
import type { Group } from '../../../collector/contract/group.ts';
import type { Verdict } from '../../../collector/contract/host.ts';
import { useResourceList } from '../api/resource.ts';
import { count, shortCount } from '../format.ts';
import { Tag, VerdictBadge } from '../parts/badge.tsx';
import { ExportLinks } from '../parts/export.tsx';
import { FieldFilters, TextFilter } from '../parts/filter.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { type Column, More, Table } from '../parts/table.tsx';
import { VerdictChips } from '../parts/verdict_filter.tsx';
import { ScreenHead } from '../shell.tsx';
import { urlPart } from '../url_part.ts';
import { DEFAULT_DAYS, daysOf, type QueryParams, query, useUrlState } from '../url_state.ts';
import { STATES } from './group_states.ts';
import './groups.css';

const PAGE_ROWS = 100;
const DEFAULT_BY = 'asg';
export const ATTRIBUTES: Record<string, string> = {
  asg: 'Auto Scaling group',
  template: 'Launch template',
  image: 'AMI',
  'eks-nodegroup': 'EKS node group',
  account: 'Account',
  region: 'Region',
  zone: 'Zone',
  type: 'Instance type',
};
/** Names may exist in several accounts and regions. */
const FIELDS = { account: 'Account', region: 'Region' };

export function attributeLabel(by: string): string {
  return by.startsWith('tag:') ? `Tag ${by.slice(4)}` : (ATTRIBUTES[by] ?? by);
}

export function GroupsScreen() {
  const { params, set } = useUrlState();
  const days = daysOf(params);
  const by = params.get('by') ?? DEFAULT_BY;
  const verdict = params.getAll('verdict') as Verdict[];
  const text = params.get('text') ?? '';
  const places = Object.fromEntries(Object.keys(FIELDS).map((name) => [name, params.getAll(name)]));
  const filters = { by, days, verdict, text, ...places };
  return (
    <>
      <ScreenHead
        title="Groups"
        subtitle="Which groups are proven safe for HttpTokens=required, with all instances that lived in the window"
        windowed
      >
        <GroupChoice
          by={by}
          onChange={(next) => set({ by: next === DEFAULT_BY ? null : next, text: null })}
        />
        <ExportLinks path="/groups" filters={filters} />
      </ScreenHead>
      <section class="panel flush" aria-label="Groups">
        <div class="filters">
          <TextFilter label="Filter by name" value={text} onChange={(value) => set({ text: value })} />
          <VerdictChips
            chosen={verdict}
            onChange={(chosen) => set({ verdict: chosen })}
            explanation="short"
          />
          <FieldFilters fields={FIELDS} params={params} onChange={set} />
        </div>
        <GroupList filters={filters} by={by} days={days} places={places} />
      </section>
    </>
  );
}

function GroupChoice({ by, onChange }: { by: string; onChange: (by: string) => void }) {
  const tag = by.startsWith('tag:') ? by.slice(4) : null;
  const [isTagChosen, setIsTagChosen] = useState(tag !== null);
  return (
    <span class="group-choice">
      <label class="window">
        <span>Group by</span>
        <select
          value={isTagChosen || tag !== null ? 'tag' : by}
          onChange={(event) => {
            const { value } = event.currentTarget;
            setIsTagChosen(value === 'tag');
            if (value !== 'tag') onChange(value);
          }}
        >
          {Object.entries(ATTRIBUTES).map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
          <option value="tag">Tag</option>
        </select>
      </label>
      {(isTagChosen || tag !== null) && (
        <input
          class="short"
          aria-label="Tag key"
          placeholder="key, then Enter"
          value={tag ?? ''}
          spellcheck={false}
          onChange={(event) => {
            const key = event.currentTarget.value.trim();
            if (key !== '') onChange(`tag:${key}`);
          }}
        />
      )}
    </span>
  );
}

interface ListProps {
  filters: QueryParams;
  by: string;
  days: number;
  places: Record<string, string[]>;
}

function GroupList({ filters, by, days, places }: ListProps) {
  const list = useResourceList<Group>(`/groups${query(filters)}`, PAGE_ROWS);
  const groupQuery = query({ days: days === DEFAULT_DAYS ? null : days, ...places });
  return (
    <ResourceView resource={list} rows={8}>
      {(groups) =>
        groups.length === 0 ? (
          <EmptyNotice title="No groups found.">
            {attributeLabel(by)} comes from the tags that agents see, and from the cloud's inventory. Choose
            another attribute, or remove the filters.
          </EmptyNotice>
        ) : (
          <>
            <Table
              caption={`Groups by ${attributeLabel(by)}`}
              columns={columns(by, groupQuery)}
              rows={groups}
              rowKey={({ id }) => id}
            />
            <More list={list} />
          </>
        )
      }
    </ResourceView>
  );
}

function columns(by: string, groupQuery: string): Column<Group>[] {
  return [
    { label: 'Readiness', cell: ({ verdict }) => <VerdictBadge verdict={verdict} /> },
    {
      label: attributeLabel(by),
      heading: true,
      cell: ({ id, value, accounts, regions }) => (
        <span class="stacked">
          <a href={`/groups/${urlPart(id)}${groupQuery}`}>{value}</a>
          <span class="quiet">{[...accounts, ...regions].join(' · ')}</span>
        </span>
      ),
    },
    { label: 'Watched', cell: ({ watched, members }) => `${count(watched)} of ${count(members)}` },
    { label: 'Running', numeric: true, only: 'medium', cell: ({ running }) => count(running) },
    { label: 'Offending', numeric: true, cell: ({ offending }) => count(offending) },
    {
      label: 'IMDSv1 calls',
      numeric: true,
      only: 'medium',
      cell: ({ calls_v1 }) => <span title={count(calls_v1)}>{shortCount(calls_v1)}</span>,
    },
    { label: 'Starts seen', only: 'medium', cell: (group) => fewestStarts(group) },
    {
      label: 'Missing',
      only: 'wide',
      cell: ({ problems }) =>
        problems.length === 0 ? (
          <span class="quiet">nothing</span>
        ) : (
          <span class="labels">
            {problems.map(({ code, text }) => (
              <Tag key={code} title={text}>
                {STATES[code]}
              </Tag>
            ))}
          </span>
        ),
    },
  ];
}

/** Returns the starts of the launcher that has the fewest: they decide. */
function fewestStarts({ starts }: Group): string {
  const [fewest] = starts;
  return fewest === undefined ? '–' : `${count(fewest.seen)} of ${count(fewest.needed)}`;
}
