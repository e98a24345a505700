/** Hosts grouped by account, region, type or a tag, with the number of hosts for each verdict. */
import { useState } from 'preact/hooks';
import type { ReadinessGroup } from '../../../collector/contract/host.ts';
import { useResource } from '../api/resource.ts';
import { count, plural, shortCount } from '../format.ts';
import { VERDICT, verdicts } from '../parts/badge.tsx';
import { CopyButton } from '../parts/copy.tsx';
import { ResourceView } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { type QueryParams, query, useUrlState } from '../url_state.ts';
import './host_groups.css';

const GROUPS = { account: 'account', region: 'region', zone: 'zone', type: 'instance type', image_id: 'AMI' };

export function GroupChoice({ by, onChange }: { by: string | null; onChange: (by: string | null) => void }) {
  const tag = by?.startsWith('tag:') ? by.slice(4) : null;
  const [isTagChosen, setIsTagChosen] = useState(tag !== null);
  return (
    <span class="group-choice">
      <label class="window">
        <span>Group by</span>
        <select
          value={isTagChosen || tag !== null ? 'tag' : (by ?? '')}
          onChange={(event) => {
            const { value } = event.currentTarget;
            setIsTagChosen(value === 'tag');
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
      {(isTagChosen || tag !== null) && (
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

export function Groups({ by, filters }: { by: string; filters: QueryParams }) {
  const { set } = useUrlState();
  const groups = useResource<{ items: ReadinessGroup[] }>(`/readiness/groups${query({ ...filters, by })}`);
  const name = by.startsWith('tag:') ? by.slice(4) : GROUPS[by as keyof typeof GROUPS];
  const narrow = (value: string | null) =>
    by.startsWith('tag:')
      ? { tag: [`${by.slice(4)}:${value ?? ''}`], by: null }
      : { [by]: [value ?? ''], by: null };
  return (
    <section class="panel flush" aria-label={`Readiness by ${name}`}>
      <ResourceView resource={groups} rows={3}>
        {({ items }) => (
          <>
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
                  cell: ({ command, ready_without_start, verdicts: counts }) =>
                    command && (
                      <>
                        <CopyButton
                          text={command}
                          label={`Copy for ${plural(counts.ready ?? 0, 'ready host')}`}
                        />
                        {ready_without_start > 0 && (
                          <span class="quiet"> no start seen of {count(ready_without_start)}</span>
                        )}
                      </>
                    ),
                },
              ]}
            />
            <CommandNotes notes={items.flatMap(({ command_notes }) => command_notes)} />
          </>
        )}
      </ResourceView>
    </section>
  );
}

/** Says once what to know before the commands are run. */
function CommandNotes({ notes }: { notes: readonly string[] }) {
  const distinct = [...new Set(notes)];
  return distinct.length === 0 ? null : (
    <div class="command-notes">
      <p>Before you run the commands:</p>
      <ul>
        {distinct.map((note) => (
          <li key={note}>{note}</li>
        ))}
      </ul>
    </div>
  );
}
