/** One group: its verdict, what is missing, who calls, and its instances. */
import { useRoute } from 'preact-iso/router';
import type { GroupDetail } from '../../../collector/contract/group.ts';
import { useResource } from '../api/resource.ts';
import { count, plural } from '../format.ts';
import { Tag, VERDICT, VerdictBadge, verdicts } from '../parts/badge.tsx';
import { Code } from '../parts/copy.tsx';
import { FactList, Panel } from '../parts/panel.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { ScreenHead } from '../shell.tsx';
import { LocalTime, RelativeTime } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import { DEFAULT_DAYS, daysOf, query, useUrlState } from '../url_state.ts';
import { STATES } from './group_states.ts';
import { attributeLabel } from './groups.tsx';
import './detail.css';
import './host.css';
import './groups.css';

export function GroupScreen() {
  const id = useRoute().params['id']!;
  const { params } = useUrlState();
  const days = daysOf(params);
  const places = { account: params.getAll('account'), region: params.getAll('region') };
  const windowQuery = query({ days: days === DEFAULT_DAYS ? null : days });
  const resource = useResource<GroupDetail>(`/groups/${urlPart(id)}${query({ days, ...places })}`);
  const group = resource.data;
  const backQuery = query({ by: group?.by, days: days === DEFAULT_DAYS ? null : days, ...places });
  return (
    <>
      <ScreenHead
        title={group?.value ?? id}
        badge={
          group && (
            <>
              <VerdictBadge verdict={group.verdict} />{' '}
              {!group.start_seen && (
                <Tag title="No start was seen of what launches instances of the group now: what runs at boot is not proven.">
                  no start seen
                </Tag>
              )}
            </>
          )
        }
        subtitle={
          group && [attributeLabel(group.by), ...group.accounts, ...group.regions].filter(Boolean).join(' · ')
        }
        back={{ href: `/groups${backQuery}`, label: 'Groups' }}
        windowed
      />
      <ResourceView resource={resource} rows={12} tall>
        {(data) => <Detail group={data} windowQuery={windowQuery} />}
      </ResourceView>
    </>
  );
}

function Detail({ group, windowQuery }: { group: GroupDetail; windowQuery: string }) {
  return (
    <div class="detail">
      <div class="columns">
        <div>
          <section class={`panel verdict tone-${VERDICT[group.verdict].tone}`} aria-label="Verdict">
            <div class="content">
              <p class="headline">{group.reason}</p>
              {group.limits.map((limit) => (
                <p key={limit} class="limit">
                  {limit}
                </p>
              ))}
              {group.window_full_at && (
                <p>
                  Watched for a whole window on <LocalTime at={group.window_full_at} />.
                </p>
              )}
            </div>
          </section>
          <Panel title="Missing" class="missing-panel">
            <Missing group={group} windowQuery={windowQuery} />
          </Panel>
          <Panel title="Offenders of this group" class="offenders" flush>
            <Offenders group={group} windowQuery={windowQuery} />
          </Panel>
        </div>
        <div>
          <Panel title="Evidence" class="evidence">
            <FactList
              facts={[
                ['Instances of the window', count(group.members)],
                ['Watched for their whole life', `${count(group.watched)} of ${count(group.members)}`],
                ['Running now', count(group.running)],
                ['Called without a token', count(group.offending)],
                [
                  'Inventory of the cloud',
                  <RelativeTime key="inventory" at={group.inventory_at} none="never" />,
                ],
                ['From', <LocalTime key="from" at={group.window.from} />],
                ['To', <LocalTime key="to" at={group.window.to} />],
              ]}
            />
          </Panel>
          <Panel title="Starts" note="Of what launches instances now" class="starts" flush>
            <Starts group={group} />
          </Panel>
          <Panel title="Running hosts" note="Each judged by itself" class="running">
            <FactList
              facts={verdicts.map((verdict): [string, string | null] => {
                const hosts = group.verdicts[verdict] ?? 0;
                return [VERDICT[verdict].label, hosts === 0 ? null : count(hosts)];
              })}
            />
            {group.command_notes.map((note) => (
              <p key={note} class="note quiet">
                {note}
              </p>
            ))}
            {group.command && <Code code={group.command} label="AWS CLI commands for ready hosts" />}
          </Panel>
        </div>
      </div>
      <Panel title="Instances" class="instances" flush>
        <Instances group={group} windowQuery={windowQuery} />
      </Panel>
    </div>
  );
}

interface Part {
  group: GroupDetail;
  windowQuery: string;
}

function Missing({ group: { problems, verdict }, windowQuery }: Part) {
  if (problems.length === 0) {
    return (
      <EmptyNotice
        title={verdict === 'ready' ? 'Nothing. The group is proven.' : 'Nothing but the calls below.'}
      />
    );
  }
  return (
    <ul class="missing">
      {problems.map(({ code, text, members, examples }) => (
        <li key={code}>
          <p>{text}</p>
          {examples.length > 0 && (
            <p class="examples quiet">
              {examples.map(({ id, name }) =>
                code === 'no_agent' ? (
                  <code key={id}>{name}</code>
                ) : (
                  <a key={id} href={`/hosts/${urlPart(id)}${windowQuery}`}>
                    {name}
                  </a>
                ),
              )}
              {members > examples.length && <span>and {count(members - examples.length)} more</span>}
            </p>
          )}
        </li>
      ))}
    </ul>
  );
}

function Offenders({ group: { offenders, watched, members }, windowQuery }: Part) {
  if (offenders.length === 0) {
    return (
      <EmptyNotice
        title={watched === members ? 'None.' : 'None was seen, but not every instance was watched.'}
      />
    );
  }
  return (
    <Table
      caption="Offenders of this group, most instances first"
      rows={offenders}
      rowKey={({ id }) => id}
      columns={[
        {
          label: 'Workload',
          heading: true,
          cell: ({ id, title }) => <a href={`/offenders/${urlPart(id)}${windowQuery}`}>{title}</a>,
        },
        { label: 'Instances', numeric: true, cell: ({ hosts }) => count(hosts) },
        { label: 'IMDSv1 calls', numeric: true, cell: ({ calls_v1 }) => count(calls_v1) },
        { label: 'Last call', only: 'medium', cell: ({ last_v1 }) => <RelativeTime at={last_v1} /> },
      ]}
    />
  );
}

function Starts({ group: { starts } }: { group: GroupDetail }) {
  if (starts.length === 0) return <EmptyNotice title="None was seen." />;
  return (
    <Table
      caption="Starts seen of what launches instances now"
      rows={starts}
      rowKey={({ launcher }) => launcher}
      columns={[
        {
          label: 'Launcher',
          heading: true,
          cell: ({ launcher, image_id, template_version }) => (
            <span class="stacked">
              <span>{launcher}</span>
              <span class="quiet">
                {[
                  launcher.startsWith('image:') ? null : image_id,
                  template_version === null ? null : `template version ${template_version}`,
                ]
                  .filter(Boolean)
                  .join(', ')}
              </span>
            </span>
          ),
        },
        { label: 'Seen', cell: ({ seen, needed }) => `${count(seen)} of ${count(needed)}` },
      ]}
    />
  );
}

function Instances({ group: { instances, members }, windowQuery }: Part) {
  return (
    <>
      <Table
        caption="Instances of the window, worst first"
        rows={instances}
        rowKey={({ id }) => id}
        columns={[
          {
            label: 'Instance',
            heading: true,
            cell: ({ id, name, first_report }) => (
              <span class="stacked">
                {first_report === null ? (
                  <span>{name}</span>
                ) : (
                  <a href={`/hosts/${urlPart(id)}${windowQuery}`}>{name}</a>
                )}
                {name !== id && <span class="quiet">{id}</span>}
              </span>
            ),
          },
          {
            label: 'State',
            cell: ({ state }) =>
              state === 'blocked' || state === 'fallback' || state === 'rejected' ? (
                <Tag tone={VERDICT[state].tone}>{STATES[state]}</Tag>
              ) : (
                STATES[state]
              ),
          },
          { label: 'Running', cell: ({ is_running }) => (is_running ? 'Yes' : 'Gone') },
          { label: 'IMDSv1 calls', numeric: true, cell: ({ calls_v1 }) => count(calls_v1) },
          { label: 'Launched', only: 'medium', cell: ({ launched }) => <MaybeTime at={launched} /> },
          {
            label: 'First report',
            only: 'wide',
            cell: ({ first_report }) => <MaybeTime at={first_report} />,
          },
          { label: 'Last report', only: 'medium', cell: ({ last_report }) => <MaybeTime at={last_report} /> },
          { label: 'Ended', only: 'wide', cell: ({ ended }) => <MaybeTime at={ended} /> },
          {
            label: 'Starts seen',
            numeric: true,
            only: 'wide',
            cell: ({ starts_seen }) => count(starts_seen),
          },
        ]}
      />
      {members > instances.length && (
        <p class="table-note">
          These are the first {count(instances.length)} of {plural(members, 'instance')}.
        </p>
      )}
    </>
  );
}

function MaybeTime({ at }: { at: string | null }) {
  return at === null ? <>–</> : <LocalTime at={at} />;
}
