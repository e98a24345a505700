/** The destinations of alerts and of streams, and the recent alerts. */

import { useState } from 'preact/hooks';
import type { Alert } from '../../../collector/contract/alert.ts';
import type { Destination, StreamProgress, UnroutedAlerts } from '../../../collector/contract/destination.ts';
import { PAGE_OF } from '../alert_rules.ts';
import { request } from '../api/client.ts';
import { useResource } from '../api/resource.ts';
import { useSession } from '../api/session.tsx';
import { count, duration } from '../format.ts';
import { Tag, type Tone } from '../parts/badge.tsx';
import { Confirm, useAction } from '../parts/form.tsx';
import { Panel } from '../parts/panel.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { RelativeTime } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import { DestinationForm } from './settings_destination.tsx';
import { Receives, Unrouted } from './settings_receives.tsx';
import './settings_alerts.css';

const ALERTS_SHOWN = 50;
/** The subject of an alert that stands for many. */
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
  const answer = useResource<{ items: Destination[]; unrouted?: UnroutedAlerts }>('/alert/destinations');
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
        <ResourceView resource={answer}>
          {({ items, unrouted }) => (
            <>
              {items.length === 0 ? (
                <EmptyNotice title="No destinations yet.">
                  Add a webhook, a Slack channel, syslog or email to receive alerts, or a receiver of every
                  call, finding or entry of the audit log.
                </EmptyNotice>
              ) : (
                <Table
                  caption="Destinations of alerts and streams"
                  rows={items}
                  rowKey={({ id }) => id}
                  rowClass={({ enabled }) => (enabled ? '' : 'over')}
                  columns={[
                    {
                      label: 'Name',
                      heading: true,
                      cell: (destination) => (
                        <span class="stacked">
                          <span>{destination.name}</span>
                          <span class="quiet">
                            {destination.preset ?? destination.kind} · {destination.target}
                          </span>
                        </span>
                      ),
                    },
                    {
                      label: 'Receives',
                      only: 'medium',
                      cell: (destination) => <Receives destination={destination} />,
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
              )}
              <Unrouted unrouted={unrouted} />
            </>
          )}
        </ResourceView>
      </Panel>
    </>
  );
}

function Delivery({ destination }: { destination: Destination }) {
  const { enabled, last_delivered, last_error, given_up, last_given_up, given_up_reason } = destination;
  const { progress } = destination;
  const waiting = progress?.behind ?? destination.waiting;
  return (
    <span class="stacked">
      <span>
        {enabled ? <RelativeTime at={last_delivered} none="nothing sent yet" /> : <Tag>Disabled</Tag>}
        {waiting > 0 && <Tag tone="medium">{`${count(waiting)} waiting`}</Tag>}
      </span>
      {progress && <StreamProgressLines progress={progress} />}
      {last_error && <span class="error-line">{last_error}</span>}
      {given_up > 0 && (
        <span class="error-line">
          {`${count(given_up)} given up, last `}
          <RelativeTime at={last_given_up} />
          {`: ${given_up_reason ?? ''}`}
        </span>
      )}
    </span>
  );
}

/** Shows how far a stream was sent, and how many records never will be. */
function StreamProgressLines({ progress }: { progress: StreamProgress }) {
  const { since, sent, behind, oldest, checked, deleted, unfit, warning } = progress;
  return (
    <>
      <span class="quiet">
        {since === null ? (
          'The stream begins within some seconds.'
        ) : (
          <>
            {`${count(sent)} sent since `}
            <RelativeTime at={since} />
          </>
        )}
      </span>
      {behind > 0 && oldest !== null && checked !== null && (
        <span class="quiet">{`${duration(secondsBehind(oldest, checked))} behind`}</span>
      )}
      {warning !== null && <span class="error-line">{warning}</span>}
      {deleted > 0 && <span class="error-line">{`${count(deleted)} deleted before they could be sent`}</span>}
      {unfit > 0 && <span class="error-line">{`${count(unfit)} have no form in this shape`}</span>}
    </>
  );
}

/** Returns the time between the first record that waits and the last check, by the clock of the collector. */
function secondsBehind(oldest: string, checked: string): number {
  return Math.max(0, Date.parse(checked) - Date.parse(oldest)) / 1000;
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
            .run(() => request(`${path}/test`, { method: 'POST' }))
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
            await request(path, { method: 'PATCH', body: { enabled: !destination.enabled } });
            reload();
          })
        }
      >
        {destination.enabled ? 'Disable' : 'Enable'}
      </button>
      <Confirm
        label="Remove"
        confirmLabel={`Remove ${destination.name}`}
        onConfirm={async () => {
          await request(path, { method: 'DELETE' });
          reload();
        }}
      />
      <span role="status">
        {tested && (
          <Tag tone="good">
            {destination.stream === 'alerts' ? 'Test alert delivered' : 'Test record delivered'}
          </Tag>
        )}
        {action.problem && <span class="error-line">{action.problem.message}</span>}
      </span>
    </span>
  );
}

function RecentAlerts() {
  const answer = useResource<{ items: Alert[] }>(`/alerts?limit=${ALERTS_SHOWN}&digest=true`);
  return (
    <Panel title="Recent alerts" flush>
      <ResourceView resource={answer}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyNotice title="No alerts yet." />
          ) : (
            <Table
              caption="Alerts, newest first"
              rows={items}
              rowKey={({ id }) => id}
              columns={[
                { label: 'Time', cell: ({ time }) => <RelativeTime at={time} /> },
                {
                  label: 'Severity',
                  cell: ({ severity, state }) =>
                    state === 'resolved' ? (
                      <Tag tone="good">resolved</Tag>
                    ) : (
                      <Tag tone={SEVERITY_TONE[severity]}>{severity}</Tag>
                    ),
                },
                {
                  label: 'Alert',
                  heading: true,
                  cell: (alert) => (
                    <span class="stacked">
                      <a href={linkOf(alert)}>{alert.title}</a>
                      <span class="quiet lines">{alert.text}</span>
                    </span>
                  ),
                },
              ]}
            />
          )
        }
      </ResourceView>
    </Panel>
  );
}

/** Returns a link inside this page, which may have another address than the collector knows. */
function linkOf({ rule, subject }: Alert): string {
  const about = PAGE_OF[rule];
  return subject === SUMMARY ? `/${about}` : `/${about}/${urlPart(subject)}`;
}
