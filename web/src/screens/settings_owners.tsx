/** The owners of workloads: how many each has, and the rules that name them. */
import { useState } from 'preact/hooks';
import type { OwnerExplanation, OwnerRules, OwnerSummary } from '../../../collector/contract/owner.ts';
import { request } from '../api/client.ts';
import { useResource } from '../api/resource.ts';
import { useSession } from '../api/session.tsx';
import { count } from '../format.ts';
import { Tag } from '../parts/badge.tsx';
import { Confirm, Field, Form, useAction } from '../parts/form.tsx';
import { FactList, Panel } from '../parts/panel.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { RelativeTime } from '../time.tsx';
import { Catalogue } from './settings_catalogue.tsx';
import './settings_owners.css';

const OWNERS_SHOWN = 200;

interface RuleRow {
  rule: string;
  /** Place among all rules. */
  place: number;
  source: 'stored' | 'setting';
  isUnreadable: boolean;
}

export function OwnerSettings() {
  const { role } = useSession();
  return (
    <div class="settings">
      <OwnersPanel />
      {role === 'admin' && <OwnerRulesPanel />}
      {role === 'admin' && <OwnerTestPanel />}
    </div>
  );
}

function OwnersPanel() {
  const answer = useResource<{ items: OwnerSummary[]; next: string | null }>(`/owners?limit=${OWNERS_SHOWN}`);
  return (
    <Panel title="Owners" note="Workloads that call IMDSv1 in the readiness window, by their owner." flush>
      <ResourceView resource={answer}>
        {({ items, next }) =>
          items.length === 0 ? (
            <EmptyNotice title="No workload calls IMDSv1." />
          ) : (
            <>
              <Table
                caption="Owners"
                rows={items}
                rowKey={({ id }) => id}
                columns={[
                  {
                    label: 'Owner',
                    heading: true,
                    cell: ({ owner }) => (
                      <a href={`/offenders?owner=${encodeURIComponent(owner ?? '')}`}>
                        {owner ?? 'No owner'}
                      </a>
                    ),
                  },
                  { label: 'Offenders', numeric: true, cell: ({ offenders }) => count(offenders) },
                  {
                    label: 'With credentials',
                    numeric: true,
                    only: 'medium',
                    cell: ({ credentials }) => count(credentials),
                  },
                  { label: 'IMDSv1 calls', numeric: true, cell: ({ calls_v1 }) => count(calls_v1) },
                  {
                    label: 'Last call',
                    only: 'medium',
                    cell: ({ last_v1 }) => <RelativeTime at={last_v1} />,
                  },
                ]}
              />
              {next !== null && (
                <p class="content quiet">
                  {`The ${OWNERS_SHOWN} owners with most workloads are shown. GET /api/v1/owners has all.`}
                </p>
              )}
            </>
          )
        }
      </ResourceView>
    </Panel>
  );
}

function OwnerRulesPanel() {
  const answer = useResource<OwnerRules>('/owner-rules');
  return (
    <Panel
      title="Owner rules"
      note="The first rule that matches counts. An owner that somebody sets for an offender goes before all rules."
    >
      <ResourceView resource={answer}>
        {(rules) => (
          <>
            <EditedRules key={rules.version} known={rules} reload={answer.reload} />
            {rules.catalogue !== null && <Catalogue catalogue={rules.catalogue} />}
          </>
        )}
      </ResourceView>
    </Panel>
  );
}

function EditedRules({ known, reload }: { known: OwnerRules; reload: () => void }) {
  const action = useAction();
  const { rules, setting_rules, unreadable, changed, changed_by } = known;
  const put = async (next: string[]) => {
    await request('/owner-rules', { method: 'PUT', body: { rules: next, version: known.version } });
    reload();
  };
  const rows: RuleRow[] = [
    ...rules.map((rule) => ({ rule, source: 'stored' as const })),
    ...setting_rules.map((rule) => ({ rule, source: 'setting' as const })),
  ].map((row, place) => ({
    ...row,
    place,
    isUnreadable: row.source === 'stored' && unreadable.includes(row.rule),
  }));
  const moved = (from: number) => {
    const next = [...rules];
    next.splice(from - 1, 0, ...next.splice(from, 1));
    return next;
  };
  return (
    <div class="settings">
      {rows.length === 0 ? (
        <EmptyNotice title="No owner rules yet.">Add one below.</EmptyNotice>
      ) : (
        <Table
          caption="Owner rules in their order"
          rows={rows}
          rowKey={({ place, rule }) => `${place} ${rule}`}
          columns={[
            { label: 'Place', numeric: true, cell: ({ place }) => String(place + 1) },
            { label: 'Rule', heading: true, cell: ({ rule }) => <code>{rule}</code> },
            {
              label: 'Set',
              cell: ({ source, isUnreadable }) => (
                <span>
                  {source === 'setting' ? 'in the settings file' : 'here'}{' '}
                  {isUnreadable && <Tag tone="medium">not known to this release</Tag>}
                </span>
              ),
            },
            {
              label: 'Action',
              cell: ({ source, place, rule }) =>
                source === 'stored' && (
                  <span class="actions">
                    <button
                      type="button"
                      class="button small"
                      disabled={action.busy || place === 0}
                      aria-label={`Move ${rule} up`}
                      onClick={() => action.run(() => put(moved(place)))}
                    >
                      Up
                    </button>
                    <Confirm
                      label="Remove"
                      confirmLabel="Remove the rule"
                      onConfirm={() => put(rules.filter((_, at) => at !== place))}
                    />
                  </span>
                ),
            },
          ]}
        />
      )}
      <Form
        action={action}
        label="Add rule"
        onSubmit={(values) => {
          const rule = String(values.get('rule')).trim();
          const isFirst = values.has('first');
          void action.run(() => put(isFirst ? [rule, ...rules] : [...rules, rule]));
        }}
      >
        <Field
          label="New rule"
          hint="namespace:, unit:, image:, path: or account:, then PATTERN=OWNER. tag:KEY takes the owner from the tag; tag:KEY:PATTERN=OWNER names one. * stands for any text."
        >
          <input
            name="rule"
            required
            maxLength={300}
            autocomplete="off"
            placeholder="namespace:payments-*=payments"
          />
        </Field>
        <label class="check">
          <input type="checkbox" name="first" />
          Before all others
        </label>
      </Form>
      {changed !== null && (
        <p class="quiet">
          {`Changed by ${changed_by} `}
          <RelativeTime at={changed} />.
        </p>
      )}
    </div>
  );
}

function OwnerTestPanel() {
  const action = useAction();
  const [found, setFound] = useState<OwnerExplanation | null>(null);
  return (
    <Panel title="Test" note="Says which rule names the owner of an offender, and what rules look at.">
      <Form
        action={action}
        label="Test"
        onSubmit={(values) => {
          const id = String(values.get('id')).trim();
          setFound(null);
          void action.run(async () => {
            setFound(await request<OwnerExplanation>(`/owner-rules/explanations/${encodeURIComponent(id)}`));
          });
        }}
      >
        <Field label="Id of an offender" hint="It is the end of the address of the offender’s page.">
          <input name="id" required pattern="\s*[0-9a-f]{16}\s*" autocomplete="off" />
        </Field>
      </Form>
      <div class="owner-explanation" role="status">
        {found && <Explanation explained={found} />}
      </div>
    </Panel>
  );
}

function Explanation({ explained }: { explained: OwnerExplanation }) {
  const { id, title, owner, owner_by, found, facts } = explained;
  const tags = Object.entries(facts.tags).map(([key, values]): [string, string] => [
    `Tag ${key}`,
    values.map((value) => value ?? '(not set)').join(', '),
  ]);
  return (
    <FactList
      facts={[
        ['Offender', <a href={`/offenders/${id}`}>{title}</a>],
        ['Owner', owner === null ? 'none' : owner_by === 'person' ? `${owner} (set by a person)` : owner],
        ['Rule', found === null ? 'no rule matches' : <code>{found.rule}</code>],
        ...(found?.entity === undefined ? [] : [['Catalogue', found.entity] as [string, string]]),
        ['Namespace', facts.namespace],
        ['Unit', facts.unit],
        ['Image', facts.image],
        ['Script', facts.script],
        ['Executable', facts.executable],
        ['Accounts', facts.accounts.join(', ')],
        ...tags,
      ]}
    />
  );
}
