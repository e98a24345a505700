/** The state that the agent sent with its latest heartbeat. Counters that stand for a loss are marked. */

import type { HostDetail } from '../../../collector/contract/host.ts';
import { isLoss } from '../../../protocol/losses.ts';
import type { StageCounters } from '../../../protocol/records.ts';
import { bytes, count } from '../format.ts';
import { LocalTime, RelativeTime } from '../time.tsx';
import { Tag } from './badge.tsx';
import { FactList, Panel } from './panel.tsx';
import { EmptyNotice } from './states.tsx';
import { Table } from './table.tsx';
import './heartbeat.css';

type Heartbeat = NonNullable<HostDetail['heartbeat']>;

interface CounterRow {
  stage: string;
  name: string;
  value: number;
  loss: boolean;
}

function counterRows(counters: StageCounters): CounterRow[] {
  return Object.entries(counters).flatMap(([stage, values]) =>
    Object.entries(values).map(([name, value]) => ({
      stage,
      name,
      value,
      loss: value > 0 && isLoss(stage, name),
    })),
  );
}

export function HeartbeatPanel({ heartbeat }: { heartbeat: Heartbeat | null }) {
  if (heartbeat === null) {
    return (
      <Panel title="Agent" class="heartbeat">
        <EmptyNotice title="No heartbeat was received yet." />
      </Panel>
    );
  }
  const overflowed = Object.entries(heartbeat.spool.overflowed).filter(([, records]) => records > 0);
  const rows = counterRows(heartbeat.counters);
  const lost = rows.filter(({ loss }) => loss);
  return (
    <Panel title="Agent" class="heartbeat" aside={<RelativeTime at={heartbeat.time} />}>
      <FactList
        facts={[
          ['Version', heartbeat.agent_version],
          ['Running since', <LocalTime key="started" at={heartbeat.started} />],
          ['Capture', heartbeat.coverage.live ? 'live' : <Tag tone="critical">not live</Tag>],
          ['Capture sources', heartbeat.coverage.sources.join(', ')],
          ['Attribution', heartbeat.attribution.way ?? heartbeat.attribution.method],
          ['Attribution note', heartbeat.attribution.reason],
          ['CPU', `${heartbeat.agent.cpu_percent.toFixed(1)} % of one core`],
          ['Memory', bytes(heartbeat.agent.memory_bytes)],
          [
            'Waiting in the spool',
            `${count(heartbeat.spool.records)} records, ${bytes(heartbeat.spool.bytes)}`,
          ],
          [
            'Lost: spool was full',
            overflowed.length > 0 && (
              <Tag tone="high">
                {overflowed.map(([kind, records]) => `${kind} ${count(records)}`).join(', ')}
              </Tag>
            ),
          ],
        ]}
      />
      <p class="losses">
        {lost.length === 0 ? (
          <Tag tone="good">No losses since the agent started</Tag>
        ) : (
          lost.map(({ stage, name, value }) => (
            <Tag key={`${stage}.${name}`} tone="high">{`${stage}.${name} ${count(value)}`}</Tag>
          ))
        )}
      </p>
      <details>
        <summary>All counters</summary>
        <Table
          caption="All counters of the agent"
          rows={rows}
          rowKey={({ stage, name }) => `${stage}.${name}`}
          rowClass={({ loss }) => (loss ? 'loss' : '')}
          columns={[
            { label: 'Stage', cell: ({ stage }) => stage },
            {
              label: 'Counter',
              heading: true,
              cell: ({ name, loss }) => (
                <>
                  <code>{name}</code> {loss && <Tag tone="high">loss</Tag>}
                </>
              ),
            },
            { label: 'Count', numeric: true, cell: ({ value }) => count(value) },
          ]}
        />
      </details>
    </Panel>
  );
}
