/** The retention of calls and of their sums. */
import { useState } from 'preact/hooks';
import type * as z from 'zod';
import type { retention } from '../../../collector/contract/administration.ts';
import { request } from '../api/client.ts';
import { useResource } from '../api/resource.ts';
import { useSession } from '../api/session.tsx';
import { bytes, plural } from '../format.ts';
import { type FieldDefinition, FieldList, Form, useAction } from '../parts/form.tsx';
import { FactList, Panel } from '../parts/panel.tsx';
import { ResourceView } from '../parts/states.tsx';
import { StorageFacts } from './settings_storage.tsx';

type Retention = z.infer<typeof retention>;
const GIB_BYTES = 1024 ** 3;

export function RetentionSettings() {
  const answer = useResource<Retention>('/retention', false);
  const { role } = useSession();
  return (
    <>
      <Panel
        title="Retention"
        note="Single calls are kept for days. Their hourly sums are kept longer, because trends and verdicts are computed from the sums."
      >
        <ResourceView resource={answer}>
          {(retention) =>
            role === 'admin' ? (
              <RetentionForm retention={retention} reload={answer.reload} />
            ) : (
              <FactList
                facts={[
                  ['Single calls', plural(retention.raw_days, 'day')],
                  ['Hourly sums', plural(retention.rollup_days, 'day')],
                  ['Maximum on disk', bytes(retention.max_bytes)],
                ]}
              />
            )
          }
        </ResourceView>
      </Panel>
      <StorageFacts />
    </>
  );
}

function RetentionForm({ retention, reload }: { retention: Retention; reload: () => void }) {
  const action = useAction();
  const [saved, setSaved] = useState(false);
  const submit = (values: FormData) => {
    setSaved(false);
    const gib = Number(values.get('max_gib'));
    const body: Retention = {
      raw_days: Number(values.get('raw_days')),
      rollup_days: Number(values.get('rollup_days')),
      max_bytes: Math.round(gib * GIB_BYTES),
    };
    void action.run(async () => {
      await request('/retention', { method: 'PUT', body });
      reload();
      setSaved(true);
    });
  };
  return (
    <Form action={action} label="Save" onSubmit={submit}>
      <FieldList fields={retentionFields(retention)} />
      <p role="status">{saved && 'Saved.'}</p>
    </Form>
  );
}

function retentionFields({ raw_days, rollup_days, max_bytes }: Retention): FieldDefinition[] {
  const days = { type: 'number' as const, required: true, min: 1, max: 3650 };
  return [
    { name: 'raw_days', label: 'Single calls (days)', input: { ...days, defaultValue: String(raw_days) } },
    {
      name: 'rollup_days',
      label: 'Hourly sums (days)',
      input: { ...days, defaultValue: String(rollup_days) },
    },
    {
      name: 'max_gib',
      label: 'Maximum on disk (GiB)',
      hint: 'Above this size, the oldest single calls are deleted first.',
      input: {
        type: 'number',
        required: true,
        min: 0.0625,
        step: 'any',
        defaultValue: String(Math.round((max_bytes / GIB_BYTES) * 1000) / 1000),
      },
    },
  ];
}
