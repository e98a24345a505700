/** The form that adds a destination of alerts. */
import { useState } from 'preact/hooks';
import type { AlertRule } from '../../../collector/contract/alert.ts';
import type { Destination, DestinationConfig } from '../../../collector/contract/destination.ts';
import { ALERT_RULES } from '../alert_rules.ts';
import { request } from '../api/client.ts';
import { Field, type FieldDefinition, FieldList, Form, useAction } from '../parts/form.tsx';
import './settings_destination.css';

type Channel = Destination['kind'];
const CHANNELS: Record<Channel, string> = {
  webhook: 'Webhook',
  slack: 'Slack-compatible webhook',
  syslog: 'Syslog',
  email: 'Email',
};
const MIN_SECRET_CHARACTERS = 16;
const MAX_PORT = 65_535;

const URL_FIELD: FieldDefinition = {
  name: 'url',
  label: 'URL',
  input: { type: 'url', required: true, placeholder: 'https://' },
};

function portField(defaultValue: string): FieldDefinition {
  return {
    name: 'port',
    label: 'Port',
    input: { type: 'number', min: 1, max: MAX_PORT, defaultValue, required: true },
  };
}

const FIELDS: Record<Channel, FieldDefinition[]> = {
  webhook: [
    URL_FIELD,
    {
      name: 'secret',
      label: 'Secret',
      hint: `Optional. Signs each request. At least ${MIN_SECRET_CHARACTERS} characters.`,
      input: {
        type: 'password',
        minLength: MIN_SECRET_CHARACTERS,
        maxLength: 200,
        autocomplete: 'new-password',
      },
    },
  ],
  slack: [URL_FIELD],
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
  const [channel, setChannel] = useState<Channel>('webhook');
  const action = useAction();
  const submit = (values: FormData) => {
    const body = {
      name: String(values.get('name')).trim(),
      rules: values.getAll('rules') as AlertRule[],
      config: readConfig(channel, values),
    };
    void action.run(async () => {
      await request('/alert/destinations', { method: 'POST', body });
      done();
    });
  };
  return (
    <Form action={action} label="Add destination" onSubmit={submit} cancel={cancel}>
      <Field label="Channel">
        <select value={channel} onChange={(event) => setChannel(event.currentTarget.value as Channel)}>
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
      <FieldList key={channel} fields={FIELDS[channel]} />
      <fieldset class="rules">
        <legend>Alerts about</legend>
        {Object.entries(ALERT_RULES).map(([rule, label]) => (
          <label key={rule} class="check">
            <input type="checkbox" name="rules" value={rule} defaultChecked />
            {label}
          </label>
        ))}
      </fieldset>
    </Form>
  );
}

function readConfig(kind: Channel, values: FormData): DestinationConfig {
  const text = (name: string) => String(values.get(name) ?? '').trim();
  const textOrNull = (name: string) => (text(name) === '' ? null : text(name));
  switch (kind) {
    case 'webhook':
      return { kind, url: text('url'), secret: textOrNull('secret') };
    case 'slack':
      return { kind, url: text('url') };
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
