/** Where alerts go, what they tell, and those of late. */

import { useState } from 'preact/hooks';
import type { Alert, Destination } from '../../../collector/contract/administration.ts';
import { ALERT_RULES } from '../alert_rules.ts';
import { useAnswer } from '../api/answer.ts';
import { ask } from '../api/client.ts';
import { useSession } from '../api/session.tsx';
import { count } from '../format.ts';
import { Tag, type Tone } from '../parts/badge.tsx';
import { Confirm, useAction } from '../parts/form.tsx';
import { Panel } from '../parts/panel.tsx';
import { Answered, Empty } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Ago } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import { DestinationForm } from './settings_destination.tsx';
import './settings_alerts.css';

const ALERTS_SHOWN = 50;
/** Subject of an alert that stands for many at once. */
const SUMMARY = 'summary';

const SEVERITY_TONE: Record<Alert['severity'], Tone> = {
  critical: 'critical',
  warning: 'medium',
  info: 'neutral',
};

export function AlertSettings() {
  const { role } = useSession();
  return (
    <div class="settings">
      {role === 'admin' && <Destinations />}
      <RecentAlerts />
    </div>
  );
}

function Destinations() {
  const answer = useAnswer<{ items: Destination[] }>('/alert/destinations');
  const [adding, setAdding] = useState(false);
  return (
    <>
      {adding && (
        <Panel title="Add a destination">
          <DestinationForm
            done={() => {
              setAdding(false);
              answer.reload();
            }}
            cancel={() => setAdding(false)}
          />
        </Panel>
      )}
      <Panel
        title="Destinations"
        flush
        aside={
          !adding && (
            <button type="button" class="button small primary" onClick={() => setAdding(true)}>
              Add a destination
            </button>
          )
        }
      >
        <Answered answer={answer}>
          {({ items }) =>
            items.length === 0 ? (
              <Empty title="No destinations yet.">
                Add a webhook, a Slack channel, syslog or email to receive alerts.
              </Empty>
            ) : (
              <Table
                caption="Destinations of alerts"
                rows={items}
                rowKey={({ id }) => id}
                rowClass={({ enabled }) => (enabled ? '' : 'over')}
                columns={[
                  {
                    label: 'Name',
                    heading: true,
                    cell: (destination) => (
                      <span class="what">
                        <span>{destination.name}</span>
                        <span class="quiet">
                          {destination.kind} · {destination.target}
                        </span>
                      </span>
                    ),
                  },
                  {
                    label: 'Alerts about',
                    only: 'medium',
                    cell: ({ rules }) => rules.map((rule) => ALERT_RULES[rule]).join(', '),
                  },
                  { label: 'Delivery', cell: (destination) => <Delivery destination={destination} /> },
                  {
                    label: 'Action',
                    cell: (destination) => (
                      <DestinationActions destination={destination} reload={answer.reload} />
                    ),
                  },
                ]}
              />
            )
          }
        </Answered>
      </Panel>
    </>
  );
}

function Delivery({
  destination: { enabled, last_delivered, last_error, waiting },
}: {
  destination: Destination;
}) {
  return (
    <span class="what">
      <span>
        {enabled ? <Ago at={last_delivered} none="nothing sent yet" /> : <Tag>Disabled</Tag>}
        {waiting > 0 && <Tag tone="medium">{`${count(waiting)} waiting`}</Tag>}
      </span>
      {last_error && <span class="error-line">{last_error}</span>}
    </span>
  );
}

function DestinationActions({ destination, reload }: { destination: Destination; reload: () => void }) {
  const action = useAction();
  const [tested, setTested] = useState(false);
  const path = `/alert/destinations/${destination.id}`;
  return (
    <span class="actions">
      <button
        type="button"
        class="button small"
        disabled={action.busy}
        onClick={() => {
          setTested(false);
          void action
            .run(() => ask(`${path}/test`, { method: 'POST' }))
            .then((done) => {
              setTested(done);
              reload();
            });
        }}
      >
        {action.busy ? 'Sending…' : 'Send test'}
      </button>
      <button
        type="button"
        class="button small"
        onClick={() =>
          action.run(async () => {
            await ask(path, { method: 'PATCH', body: { enabled: !destination.enabled } });
            reload();
          })
        }
      >
        {destination.enabled ? 'Disable' : 'Enable'}
      </button>
      <Confirm
        label="Remove"
        sure={`Remove ${destination.name}`}
        onConfirm={async () => {
          await ask(path, { method: 'DELETE' });
          reload();
        }}
      />
      <span role="status">
        {tested && <Tag tone="good">Test alert delivered</Tag>}
        {action.problem && <span class="error-line">{action.problem.message}</span>}
      </span>
    </span>
  );
}

function RecentAlerts() {
  const answer = useAnswer<{ items: Alert[] }>(`/alerts?limit=${ALERTS_SHOWN}`);
  return (
    <Panel title="Recent alerts" flush>
      <Answered answer={answer}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No alerts yet." />
          ) : (
            <Table
              caption="Alerts, newest first"
              rows={items}
              rowKey={({ id }) => id}
              columns={[
                { label: 'Time', cell: ({ time }) => <Ago at={time} /> },
                {
                  label: 'Severity',
                  cell: ({ severity }) => <Tag tone={SEVERITY_TONE[severity]}>{severity}</Tag>,
                },
                {
                  label: 'Alert',
                  heading: true,
                  cell: (alert) => (
                    <span class="what">
                      <a href={linkOf(alert)}>{alert.title}</a>
                      <span class="quiet lines">{alert.text}</span>
                    </span>
                  ),
                },
              ]}
            />
          )
        }
      </Answered>
    </Panel>
  );
}

/** Within this page, whatever address the collector thinks it has. */
function linkOf({ rule, subject }: Alert): string {
  const about = rule === 'new_offender' || rule === 'credentials_over_v1' ? 'offenders' : 'hosts';
  return subject === SUMMARY ? `/${about}` : `/${about}/${urlPart(subject)}`;
}
