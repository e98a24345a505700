/** The triage of one offender, and the form in which admins change it. */
import { useState } from 'preact/hooks';
import type { OffenderDetail } from '../../../collector/contract/offender.ts';
import type { TriageChange, TriageState } from '../../../collector/contract/triage.ts';
import { request } from '../api/client.ts';
import { useSession } from '../api/session.tsx';
import { Field, Form, useAction } from '../parts/form.tsx';
import { FactList, Panel } from '../parts/panel.tsx';
import { TRIAGE, TriageTag, triageStates } from '../parts/triage.tsx';
import { LocalTime } from '../time.tsx';
import './offender_triage.css';

interface Props {
  offender: OffenderDetail;
  reload: () => void;
}

export function TriagePanel({ offender, reload }: Props) {
  const { role } = useSession();
  const [editing, setEditing] = useState(false);
  const close = () => setEditing(false);
  return (
    <Panel
      title="Triage"
      class="triage"
      note="Decisions change no verdict: its hosts stay blocked while it calls."
      aside={
        role === 'admin' &&
        !editing && (
          <button type="button" class="button small" onClick={() => setEditing(true)}>
            Change
          </button>
        )
      }
    >
      {editing ? (
        <TriageForm
          offender={offender}
          cancel={close}
          saved={() => {
            close();
            reload();
          }}
        />
      ) : (
        <TriageFacts triage={offender.triage} />
      )}
    </Panel>
  );
}

function TriageFacts({ triage }: Pick<OffenderDetail, 'triage'>) {
  const { owner, owner_by, ticket, notes, until, reason, set, set_by } = triage;
  return (
    <FactList
      facts={[
        ['State', <TriageTag key="state" triage={triage} />],
        ['Until', until && <LocalTime at={until} />],
        ['Reason', reason],
        ['Owner', owner && (owner_by === 'rule' ? `${owner} (by rule)` : owner)],
        [
          'Ticket',
          ticket && (
            <a href={ticket} rel="noreferrer" target="_blank">
              {ticket}
            </a>
          ),
        ],
        ['Notes', notes && <span class="notes">{notes}</span>],
        ['Set by', set_by],
        ['Set', set && <LocalTime at={set} />],
      ]}
    />
  );
}

function TriageForm({
  offender: { id, triage },
  cancel,
  saved,
}: {
  offender: OffenderDetail;
  cancel: () => void;
  saved: () => void;
}) {
  const action = useAction();
  const [state, setState] = useState<TriageState>(triage.state);
  const ownOwner = triage.owner_by === 'person' ? triage.owner : null;
  const submit = (values: FormData) => {
    const textOf = (name: string) => String(values.get(name) ?? '').trim();
    const changed = (name: string, before: string | null) => {
      const now = textOf(name).replaceAll('\r\n', '\n') || null;
      return now === before ? undefined : now;
    };
    const body: TriageChange = {
      // The same state is sent again only where it is a new decision: after it ended, and for an exception.
      state: state === triage.state && triage.ended === null && state !== 'exception' ? undefined : state,
      ...(state === 'exception' && {
        until: `${textOf('until')}T23:59:59Z`,
        reason: textOf('reason'),
      }),
      owner: changed('owner', ownOwner),
      ticket: changed('ticket', triage.ticket),
      notes: changed('notes', triage.notes),
    };
    if (Object.values(body).every((value) => value === undefined)) return cancel();
    void action.run(async () => {
      await request(`/offenders/${id}/triage`, { method: 'PATCH', body });
      saved();
    });
  };
  return (
    <Form action={action} label="Save" cancel={cancel} onSubmit={submit}>
      <Field label="State" hint={TRIAGE[state].meaning}>
        <select
          name="state"
          value={state}
          onChange={(event) => setState(event.currentTarget.value as TriageState)}
        >
          {triageStates.map((value) => (
            <option key={value} value={value}>
              {TRIAGE[value].label}
            </option>
          ))}
        </select>
      </Field>
      {state === 'exception' && (
        <>
          <Field label="Until" hint="The end of this day in UTC.">
            <input name="until" type="date" required defaultValue={triage.until?.slice(0, 10) ?? ''} />
          </Field>
          <Field label="Reason">
            <input
              name="reason"
              required
              maxLength={500}
              defaultValue={triage.reason ?? ''}
              autocomplete="off"
            />
          </Field>
        </>
      )}
      <Field
        label="Owner"
        hint={
          triage.owner_by === 'rule'
            ? `By rule: ${triage.owner}. An owner set here takes precedence.`
            : undefined
        }
      >
        <input name="owner" maxLength={100} defaultValue={ownOwner ?? ''} autocomplete="off" />
      </Field>
      <Field label="Ticket">
        <input
          name="ticket"
          type="url"
          maxLength={500}
          placeholder="https://"
          defaultValue={triage.ticket ?? ''}
          autocomplete="off"
        />
      </Field>
      <Field label="Notes">
        <textarea name="notes" rows={4} maxLength={2000} defaultValue={triage.notes ?? ''} />
      </Field>
    </Form>
  );
}
