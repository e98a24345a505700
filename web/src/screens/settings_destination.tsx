/** The form that adds a destination of alerts, or of a stream of records. */
import { useState } from 'preact/hooks';
import type { AlertRule } from '../../../collector/contract/alert.ts';
import type {
  Destination,
  DestinationConfig,
  DestinationOwners,
} from '../../../collector/contract/destination.ts';
import type { ShapeName, StreamName } from '../../../collector/contract/export.ts';
import type { DestinationPreset } from '../../../collector/contract/http_request.ts';
import { ALERT_RULES } from '../alert_rules.ts';
import { request } from '../api/client.ts';
import { useResource } from '../api/resource.ts';
import { Field, type FieldDefinition, FieldList, Form, useAction } from '../parts/form.tsx';
import { ResourceView } from '../parts/states.tsx';
import { SHAPES, STREAMS } from '../stream_names.ts';
import './settings_destination.css';

/** Channels that are no presets. */
type Channel = Exclude<Destination['kind'], 'http'>;
const CHANNELS: Record<Channel, string> = { syslog: 'Syslog', email: 'Email' };
const MAX_PORT = 65_535;

function portField(defaultValue: string): FieldDefinition {
  return {
    name: 'port',
    label: 'Port',
    input: { type: 'number', min: 1, max: MAX_PORT, defaultValue, required: true },
  };
}

const FIELDS: Record<Channel, FieldDefinition[]> = {
  syslog: [
    { name: 'host', label: 'Host', input: { required: true } },
    portField('514'),
    { name: 'transport', label: 'Transport', options: { udp: 'UDP', tcp: 'TCP', tls: 'TLS' } },
    {
      name: 'facility',
      label: 'Facility',
      hint: '16 means local0.',
      input: { type: 'number', min: 0, max: 23, defaultValue: '16', required: true },
    },
  ],
  email: [
    { name: 'host', label: 'SMTP host', input: { required: true } },
    portField('587'),
    {
      name: 'security',
      label: 'Encryption',
      options: {
        starttls: 'STARTTLS',
        tls: 'TLS',
        none: 'None: only for a relay on the collector’s machine',
      },
    },
    { name: 'username', label: 'User name', input: {} },
    { name: 'password', label: 'Password', input: { type: 'password', autocomplete: 'new-password' } },
    { name: 'from', label: 'From', input: { type: 'email', required: true } },
    {
      name: 'to',
      label: 'To',
      hint: 'Separate several addresses with commas.',
      input: { type: 'email', multiple: true, required: true },
    },
  ],
};

export function DestinationForm({ done, cancel }: { done: () => void; cancel: () => void }) {
  const answer = useResource<{ items: DestinationPreset[] }>('/alert/presets');
  return (
    <ResourceView resource={answer}>
      {({ items }) => <ReceiverForm presets={items} done={done} cancel={cancel} />}
    </ResourceView>
  );
}

interface ReceiverFormProps {
  presets: DestinationPreset[];
  done: () => void;
  cancel: () => void;
}

function ReceiverForm({ presets, done, cancel }: ReceiverFormProps) {
  const [receiver, setReceiver] = useState('webhook');
  const [chosen, setChosen] = useState<StreamName>('alerts');
  const action = useAction();
  const preset = presets.find(({ name }) => name === receiver);
  const streams = preset?.streams ?? ['alerts'];
  const stream = streams.includes(chosen) ? chosen : 'alerts';
  const shapes = preset?.shapes[stream] ?? [];
  const submit = (values: FormData) => {
    const config =
      preset === undefined ? readConfig(receiver as Channel, values) : presetConfig(preset, values);
    const shape = String(values.get('shape') ?? '');
    const ofAlerts = {
      rules: values.getAll('rules') as AlertRule[],
      digest: values.has('digest'),
      send_resolved: values.has('send_resolved'),
      owners: ownersOf(values),
    };
    const body = {
      name: String(values.get('name')).trim(),
      stream,
      ...(shape === '' ? {} : { shape }),
      ...(stream === 'alerts' ? ofAlerts : {}),
      config,
    };
    void action.run(async () => {
      await request('/alert/destinations', { method: 'POST', body });
      done();
    });
  };
  const fields = preset === undefined ? FIELDS[receiver as Channel] : presetFields(preset);
  return (
    <Form action={action} label="Add destination" onSubmit={submit} cancel={cancel}>
      <Field label="Receiver" hint={preset?.description}>
        <select value={receiver} onChange={(event) => setReceiver(event.currentTarget.value)}>
          {presets.map(({ name, title }) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
          {Object.entries(CHANNELS).map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      </Field>
      <Field label="Name">
        <input name="name" required maxLength={100} autocomplete="off" />
      </Field>
      {streams.length > 1 && (
        <Field label="Stream" hint={STREAMS[stream].hint}>
          <select value={stream} onChange={(event) => setChosen(event.currentTarget.value as StreamName)}>
            {streams.map((name) => (
              <option key={name} value={name}>
                {STREAMS[name].label}
              </option>
            ))}
          </select>
        </Field>
      )}
      {shapes.length > 1 && <ShapeField key={`shape of ${receiver} ${stream}`} shapes={shapes} />}
      <FieldList key={receiver} fields={fields} />
      {stream === 'alerts' && <AlertOptions key={receiver} receiver={receiver} preset={preset} />}
    </Form>
  );
}

/** Returns the owners that the form names; null for all. */
function ownersOf(values: FormData): DestinationOwners | null {
  const patterns = String(values.get('owners') ?? '')
    .split(',')
    .map((owner) => owner.trim())
    .filter((owner) => owner !== '');
  const unowned = values.has('unowned');
  return patterns.length === 0 && !unowned ? null : { patterns, unowned };
}

function ShapeField({ shapes: [own, ...others] }: { shapes: readonly ShapeName[] }) {
  return (
    <Field label="Shape" hint="The form of the records that are sent.">
      <select name="shape">
        <option value="">{`${SHAPES[own!]} (of the receiver)`}</option>
        {others.map((name) => (
          <option key={name} value={name}>
            {SHAPES[name]}
          </option>
        ))}
      </select>
    </Field>
  );
}

interface AlertOptionsProps {
  receiver: string;
  preset: DestinationPreset | undefined;
}

function AlertOptions({ receiver, preset }: AlertOptionsProps) {
  return (
    <>
      <fieldset class="rules">
        <legend>Sent as</legend>
        <label class="check">
          <input type="checkbox" name="digest" defaultChecked={preset?.digest ?? receiver === 'email'} />
          Many alerts of one rule in one summary, for people
        </label>
        <label class="check">
          <input type="checkbox" name="send_resolved" defaultChecked={preset?.send_resolved ?? true} />
          Also when something is over
        </label>
      </fieldset>
      <Field
        label="Only alerts of these owners"
        hint="Separate several with commas; * stands for any text. Leave empty, and the box below unchecked, for all alerts."
      >
        <input name="owners" autocomplete="off" placeholder="payments, web-*" />
      </Field>
      <label class="check">
        <input type="checkbox" name="unowned" />
        Alerts about what has no owner
      </label>
      <fieldset class="rules">
        <legend>Alerts about</legend>
        {Object.entries(ALERT_RULES).map(([rule, label]) => (
          <label key={rule} class="check">
            <input
              type="checkbox"
              name="rules"
              value={rule}
              defaultChecked={preset?.rules.includes(rule as AlertRule) ?? true}
            />
            {label}
          </label>
        ))}
      </fieldset>
    </>
  );
}

function presetFields({ parameters }: DestinationPreset): FieldDefinition[] {
  return parameters.map(({ name, label, hint, required, secret, default: value, pattern }) => {
    const common = {
      required: required && value === null,
      ...(value === null ? {} : { placeholder: value }),
      ...(pattern === null ? {} : { pattern }),
    };
    const hidden = { type: 'password', autocomplete: 'new-password', ...common } as const;
    const shown = { autocomplete: 'off', ...common } as const;
    return {
      name: `value of ${name}`,
      label,
      hint: [...(required ? [] : ['Optional.']), hint].join(' ').trim(),
      input: secret && name !== 'url' ? hidden : shown,
    };
  });
}

function presetConfig({ name: preset, parameters }: DestinationPreset, values: FormData): DestinationConfig {
  const given = parameters.map(({ name }) => [name, String(values.get(`value of ${name}`) ?? '').trim()]);
  return { kind: 'http', preset, values: Object.fromEntries(given.filter(([, value]) => value !== '')) };
}

function readConfig(kind: Channel, values: FormData): DestinationConfig {
  const text = (name: string) => String(values.get(name) ?? '').trim();
  const textOrNull = (name: string) => (text(name) === '' ? null : text(name));
  switch (kind) {
    case 'syslog':
      return {
        kind,
        host: text('host'),
        port: Number(text('port')),
        transport: text('transport') as 'udp' | 'tcp' | 'tls',
        facility: Number(text('facility')),
      };
    case 'email':
      return {
        kind,
        host: text('host'),
        port: Number(text('port')),
        security: text('security') as 'starttls' | 'tls' | 'none',
        username: textOrNull('username'),
        password: textOrNull('password'),
        from: text('from'),
        to: text('to')
          .split(',')
          .map((address) => address.trim())
          .filter((address) => address !== ''),
      };
  }
}
