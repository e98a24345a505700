/** Tokens: creates them, shows each once, and revokes them. */
import { useState } from 'preact/hooks';
import type { NewToken, Role, Token, TokenKind } from '../../../collector/contract/administration.ts';
import { scopeText } from '../../../collector/contract/host_scope_text.ts';
import { request } from '../api/client.ts';
import { useResource } from '../api/resource.ts';
import { Tag } from '../parts/badge.tsx';
import { Code } from '../parts/copy.tsx';
import { Confirm, Field, type FieldDefinition, FieldList, Form, useAction } from '../parts/form.tsx';
import { Panel } from '../parts/panel.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { LocalTime, RelativeTime } from '../time.tsx';
import './settings_tokens.css';

const KINDS: Record<TokenKind, { label: string; hint: string }> = {
  person: { label: 'Person', hint: 'Signs a person in to this page and to the API.' },
  enrolment: { label: 'Enrolment', hint: 'Lets new agents join. Each receives its own credential.' },
  agent: {
    label: 'Agent',
    hint: 'The credential of the agent on one host. It cannot report for another host.',
  },
};

const NAME: FieldDefinition = { name: 'name', label: 'Name', input: { required: true, maxLength: 100 } };
const EXPIRY: FieldDefinition = {
  name: 'expires_days',
  label: 'Expires after (days)',
  hint: 'Leave empty for a token that never expires.',
  input: { type: 'number', min: 1, max: 3650 },
};
const FIELDS: Record<TokenKind, FieldDefinition[]> = {
  person: [
    NAME,
    {
      name: 'role',
      label: 'Role',
      options: {
        viewer: 'Viewer: sees findings',
        auditor: 'Auditor: also reads the audit log',
        admin: 'Admin: also changes these settings',
      } satisfies Record<Role, string>,
    },
    {
      name: 'accounts',
      label: 'Only hosts of these accounts',
      hint: 'For a viewer. Separate several with commas. Leave empty for all.',
      input: {},
    },
    {
      name: 'tags',
      label: 'Only hosts with these tags',
      hint: 'For a viewer. Write KEY:VALUE, and separate several with commas. Values of one key are alternatives.',
      input: { pattern: '\\s*[^:,]+:[^,]*(,\\s*[^:,]+:[^,]*)*', placeholder: 'team:payments' },
    },
    EXPIRY,
  ],
  enrolment: [NAME, EXPIRY],
  agent: [
    NAME,
    {
      name: 'host_id',
      label: 'Host ID',
      input: { required: true, maxLength: 200, placeholder: 'i-0123456789abcdef0' },
    },
    EXPIRY,
  ],
};

interface CreatedToken {
  token: Token;
  secret: string;
}

export function TokenSettings() {
  const answer = useResource<{ items: Token[] }>('/tokens');
  const [created, setCreated] = useState<CreatedToken | null>(null);
  const [withRevoked, setWithRevoked] = useState(false);
  return (
    <div class="settings">
      <NewTokenPanel
        onCreated={(token) => {
          setCreated(token);
          answer.reload();
        }}
      />
      {created && (
        <section class="panel secret" aria-label="New token" role="status">
          <div class="content">
            <p>
              <strong>{created.token.name}</strong>: copy this token now. It is shown only once.
            </p>
            <Code code={created.secret} label="The token" />
            <button type="button" class="button" onClick={() => setCreated(null)}>
              Done
            </button>
          </div>
        </section>
      )}
      <Panel
        title="Tokens"
        flush
        aside={
          <label class="check">
            <input
              type="checkbox"
              checked={withRevoked}
              onChange={(event) => setWithRevoked(event.currentTarget.checked)}
            />
            Show revoked and expired tokens
          </label>
        }
      >
        <ResourceView resource={answer}>
          {({ items }) => (
            <Tokens
              tokens={withRevoked ? items : items.filter((token) => stateOf(token) === null)}
              reload={answer.reload}
            />
          )}
        </ResourceView>
      </Panel>
    </div>
  );
}

function stateOf({ revoked, expires }: Token): 'Revoked' | 'Expired' | null {
  if (revoked !== null) return 'Revoked';
  return expires !== null && Date.parse(expires) <= Date.now() ? 'Expired' : null;
}

function Tokens({ tokens, reload }: { tokens: Token[]; reload: () => void }) {
  if (tokens.length === 0) return <EmptyNotice title="No tokens.">Create one above.</EmptyNotice>;
  return (
    <Table
      caption="Tokens"
      rows={tokens}
      rowKey={({ id }) => id}
      rowClass={(token) => (stateOf(token) === null ? '' : 'over')}
      columns={[
        {
          label: 'Name',
          heading: true,
          cell: (token) => (
            <span class="stacked">
              <span>
                {token.name} {stateOf(token) !== null && <Tag>{stateOf(token)!}</Tag>}
              </span>
              {token.host_id && <span class="quiet">{token.host_id}</span>}
            </span>
          ),
        },
        {
          label: 'Kind',
          cell: ({ kind, role, scope }) =>
            `${KINDS[kind].label}${role ? `, ${role}` : ''}${scope ? ` of ${scopeText(scope)}` : ''}`,
        },
        { label: 'Created', only: 'medium', cell: ({ created }) => <RelativeTime at={created} /> },
        { label: 'Created by', only: 'wide', cell: ({ created_by }) => created_by },
        { label: 'Last used', cell: ({ last_used }) => <RelativeTime at={last_used} /> },
        { label: 'Expires', only: 'medium', cell: ({ expires }) => <LocalTime at={expires} /> },
        {
          label: 'Action',
          cell: (token) =>
            token.revoked === null && (
              <Confirm
                label="Revoke"
                confirmLabel={`Revoke ${token.name}`}
                onConfirm={async () => {
                  await request(`/tokens/${token.id}`, { method: 'DELETE' });
                  reload();
                }}
              />
            ),
        },
      ]}
    />
  );
}

function NewTokenPanel({ onCreated }: { onCreated: (created: CreatedToken) => void }) {
  const [kind, setKind] = useState<TokenKind>('person');
  const action = useAction();
  const submit = (values: FormData, form: HTMLFormElement) => {
    const text = (name: string) => String(values.get(name) ?? '').trim();
    const days = Number(text('expires_days'));
    const body: NewToken = {
      kind,
      name: text('name'),
      ...(kind === 'person' && { role: text('role') as Role, ...scopeOf(text('accounts'), text('tags')) }),
      ...(kind === 'agent' && { host_id: text('host_id') }),
      ...(days > 0 && { expires_days: days }),
    };
    void action.run(async () => {
      onCreated(await request<CreatedToken>('/tokens', { method: 'POST', body }));
      form.reset();
      setKind('person');
    });
  };
  return (
    <Panel title="Create a token">
      <Form action={action} label="Create token" onSubmit={submit}>
        <Field label="Kind" hint={KINDS[kind].hint}>
          <select
            name="kind"
            value={kind}
            onChange={(event) => setKind(event.currentTarget.value as TokenKind)}
          >
            {Object.entries(KINDS).map(([value, { label }]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </Field>
        <FieldList fields={FIELDS[kind]} />
      </Form>
    </Panel>
  );
}

/** Reads the scope of two fields; nothing where both are empty. */
function scopeOf(accounts: string, tags: string): Pick<NewToken, 'scope'> {
  const list = (text: string) => text.split(',').flatMap((each) => each.trim() || []);
  const byKey = Map.groupBy(list(tags), (tag) => tag.slice(0, tag.indexOf(':')));
  const values = [...byKey].map(([key, own]) => [key, own.map((tag) => tag.slice(key.length + 1))]);
  const scope = {
    ...(list(accounts).length > 0 && { accounts: list(accounts) }),
    ...(values.length > 0 && { tags: Object.fromEntries(values) as Record<string, string[]> }),
  };
  return Object.keys(scope).length === 0 ? {} : { scope: [scope] };
}
