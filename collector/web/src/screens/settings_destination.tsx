/** A new destination of alerts. */
import { useState } from 'preact/hooks';
import type { AlertRule, Destination, DestinationConfig } from '../../../model/administration.ts';
import { ask } from '../api/client.ts';
import { Field, Form, useAction } from '../parts/form.tsx';
import { RULES } from './settings_alerts.tsx';
import './settings_destination.css';

type Kind = Destination['kind'];
const KINDS: Record<Kind, string> = {
  webhook: 'Webhook',
  slack: 'Slack-compatible webhook',
  syslog: 'Syslog',
  email: 'Email',
};
const MIN_SECRET_CHARACTERS = 16;

export function DestinationForm({ done, cancel }: { done: () => void; cancel: () => void }) {
  const [kind, setKind] = useState<Kind>('webhook');
  const action = useAction();
  const submit = (values: FormData) => {
    const body = {
      name: String(values.get('name')).trim(),
      rules: values.getAll('rules') as AlertRule[],
      config: configOf(kind, values),
    };
    void action.run(async () => {
      await ask('/alert/destinations', { method: 'POST', body });
      done();
    });
  };
  return (
    <Form action={action} label="Add destination" onSubmit={submit} cancel={cancel}>
      <Field label="Channel">
        <select value={kind} onChange={(event) => setKind(event.currentTarget.value as Kind)}>
          {Object.entries(KINDS).map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      </Field>
      <Field label="Name">
        <input name="name" required maxLength={100} autocomplete="off" />
      </Field>
      <Fields kind={kind} />
      <fieldset class="rules">
        <legend>Alerts about</legend>
        {Object.entries(RULES).map(([rule, label]) => (
          <label key={rule} class="check">
            <input type="checkbox" name="rules" value={rule} defaultChecked />
            {label}
          </label>
        ))}
      </fieldset>
    </Form>
  );
}

function Fields({ kind }: { kind: Kind }) {
  switch (kind) {
    case 'webhook':
      return (
        <>
          <Field label="URL">
            <input name="url" type="url" required placeholder="https://" autocomplete="off" />
          </Field>
          <Field
            label="Secret"
            hint={`Optional. Signs each request. At least ${MIN_SECRET_CHARACTERS} characters.`}
          >
            <input
              name="secret"
              type="password"
              minLength={MIN_SECRET_CHARACTERS}
              maxLength={200}
              autocomplete="new-password"
            />
          </Field>
        </>
      );
    case 'slack':
      return (
        <Field label="URL">
          <input name="url" type="url" required placeholder="https://" autocomplete="off" />
        </Field>
      );
    case 'syslog':
      return (
        <>
          <Field label="Host">
            <input name="host" required autocomplete="off" />
          </Field>
          <Field label="Port">
            <input name="port" type="number" min={1} max={65535} defaultValue="514" required />
          </Field>
          <Field label="Transport">
            <select name="transport">
              <option value="udp">UDP</option>
              <option value="tcp">TCP</option>
              <option value="tls">TLS</option>
            </select>
          </Field>
          <Field label="Facility" hint="16 means local0.">
            <input name="facility" type="number" min={0} max={23} defaultValue="16" required />
          </Field>
        </>
      );
    case 'email':
      return (
        <>
          <Field label="SMTP host">
            <input name="host" required autocomplete="off" />
          </Field>
          <Field label="Port">
            <input name="port" type="number" min={1} max={65535} defaultValue="587" required />
          </Field>
          <Field label="Encryption">
            <select name="security">
              <option value="starttls">STARTTLS</option>
              <option value="tls">TLS</option>
              <option value="none">None: only for a relay on the collector’s machine</option>
            </select>
          </Field>
          <Field label="User name">
            <input name="username" autocomplete="off" />
          </Field>
          <Field label="Password">
            <input name="password" type="password" autocomplete="new-password" />
          </Field>
          <Field label="From">
            <input name="from" type="email" required autocomplete="off" />
          </Field>
          <Field label="To" hint="Separate several addresses with commas.">
            <input name="to" type="email" multiple required autocomplete="off" />
          </Field>
        </>
      );
  }
}

function configOf(kind: Kind, values: FormData): DestinationConfig {
  const text = (name: string) => String(values.get(name) ?? '').trim();
  const orNull = (name: string) => (text(name) === '' ? null : text(name));
  switch (kind) {
    case 'webhook':
      return { kind, url: text('url'), secret: orNull('secret') };
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
        username: orNull('username'),
        password: orNull('password'),
        from: text('from'),
        to: text('to')
          .split(',')
          .map((address) => address.trim())
          .filter((address) => address !== ''),
      };
  }
}
