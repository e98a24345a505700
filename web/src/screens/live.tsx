/** Calls in the order in which agents report them. */
import type { ServedCall } from '../../../collector/contract/served_call.ts';
import { MAX_ROWS, useLiveFeed } from '../api/live_feed.ts';
import { count, plural } from '../format.ts';
import { CallTable, callerName } from '../parts/call_table.tsx';
import { FieldFilters, FilterChips, TextFilter } from '../parts/filter.tsx';
import { Icon } from '../parts/icon.tsx';
import { EmptyNotice, ErrorNotice } from '../parts/states.tsx';
import { ScreenHead } from '../shell.tsx';
import { PreciseTime } from '../time.tsx';
import { query, useUrlState } from '../url_state.ts';
import './live.css';

const FIELDS = { offender: 'Offender', host: 'Host ID', category: 'Category', path: 'Path' };
const STATES = { connecting: 'Connecting', open: 'Live', lost: 'Reconnecting' };

export function LiveScreen() {
  const { params, set } = useUrlState();
  const version = params.get('version');
  const text = params.get('text') ?? '';
  const fieldFilters = Object.fromEntries(Object.keys(FIELDS).map((name) => [name, params.getAll(name)]));
  // The API takes one path, and any number of values for all other fields.
  const setFieldFilters = (changes: Record<string, string[] | null>) =>
    set(changes['path'] ? { ...changes, path: changes['path'].slice(-1) } : changes);
  const feed = useLiveFeed(query({ version, ...fieldFilters }));
  const shown = text === '' ? feed.calls : feed.calls.filter((call) => matches(call, text.toLowerCase()));
  return (
    <>
      <ScreenHead
        title="Live"
        subtitle="Calls as agents report them. Routine IMDSv2 calls arrive as roll-ups and are not listed."
      >
        <span class={`feed-state ${feed.state}${feed.paused ? ' paused' : ''}`}>
          <i aria-hidden="true" />
          {feed.paused ? 'Paused' : STATES[feed.state]}
        </span>
        <button
          type="button"
          class="button"
          aria-pressed={feed.paused}
          onClick={() => feed.setPaused(!feed.paused)}
        >
          <Icon name={feed.paused ? 'play' : 'pause'} />
          {feed.paused ? `Resume${feed.waiting > 0 ? `, ${count(feed.waiting)} waiting` : ''}` : 'Pause'}
        </button>
        <button type="button" class="button" onClick={feed.clear}>
          Clear
        </button>
      </ScreenHead>
      {feed.problem && <ErrorNotice problem={feed.problem} retry={feed.reconnect} />}
      <section class="panel flush live" aria-label="Calls">
        <div class="filters">
          <TextFilter
            label="Filter by path, caller, host"
            value={text}
            onChange={(value) => set({ text: value })}
          />
          <FilterChips
            label="Version"
            chosen={version === null ? [] : [version]}
            onChange={(chosen) => set({ version: chosen.at(-1) ?? null })}
            options={[
              { value: '1', label: 'IMDSv1' },
              { value: '2', label: 'IMDSv2' },
            ]}
          />
          <FieldFilters fields={FIELDS} params={params} onChange={setFieldFilters} />
        </div>
        {feed.othersLost !== null && (
          <p class="table-note" role="status">
            Calls of other collectors are missing here since <PreciseTime at={feed.othersLost.since} />. They
            are stored, and are loaded when the others are heard again. {feed.othersLost.reason}
          </p>
        )}
        {feed.leftOut > 0 && (
          <p class="table-note" role="status">
            {plural(feed.leftOut, 'call')} arrived too fast to be shown here. They are stored.
          </p>
        )}
        {shown.length === 0 ? (
          <EmptyNotice title={feed.calls.length > 0 ? 'No call matches the filter.' : 'No calls yet.'}>
            {feed.calls.length > 0
              ? 'Change or clear the filter.'
              : 'A call appears here as soon as an agent reports it.'}
          </EmptyNotice>
        ) : (
          <CallTable caption="Calls, newest first" calls={shown} withCaller />
        )}
        {feed.calls.length === MAX_ROWS && (
          <p class="table-note">Only the latest {count(MAX_ROWS)} calls are shown.</p>
        )}
      </section>
    </>
  );
}

function matches(call: ServedCall, text: string): boolean {
  const searched = [
    call['url.path'],
    call['user_agent.original'],
    callerName(call),
    call.host.name,
    call.host.id,
  ];
  return searched.some((value) => value?.toLowerCase().includes(text));
}
