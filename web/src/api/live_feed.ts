/**
 * The collector's live feed (server-sent events). The calls that are shown, and those held while paused, are
 * bounded.
 */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { LiveOthers } from '../../../collector/contract/live.ts';
import type { ServedCall } from '../../../collector/contract/served_call.ts';
import { apiUrl, Problem, request } from './client.ts';
import { asProblem } from './resource.ts';

export const MAX_ROWS = 300;
const FIRST_ROWS = 50;
/** Calls are shown in batches, because a layout for each call would keep the browser busy. */
const RENDER_INTERVAL_MS = 200;

export interface LiveFeed {
  /** Newest first. */
  calls: ServedCall[];
  /** Calls that arrived while paused. The newest `MAX_ROWS` of them are kept. */
  waiting: number;
  /** Calls that the collector did not send, because they arrived too fast. */
  leftOut: number;
  /** Since when and why calls of other collectors may be missing; null while the feed has them. */
  othersLost: { since: string; reason: string } | null;
  state: 'connecting' | 'open' | 'lost';
  problem: Problem | null;
  paused: boolean;
  setPaused(paused: boolean): void;
  clear(): void;
  reconnect(): void;
}

/** Opens the feed. `queryString` has the parameters of `GET /calls`, with the `?`, or is empty. */
export function useLiveFeed(queryString: string): LiveFeed {
  const [calls, setCalls] = useState<ServedCall[]>([]);
  const [waiting, setWaiting] = useState(0);
  const [leftOut, setLeftOut] = useState(0);
  const [othersLost, setOthersLost] = useState<LiveFeed['othersLost']>(null);
  const [state, setState] = useState<LiveFeed['state']>('connecting');
  const [problem, setProblem] = useState<Problem | null>(null);
  const [paused, setPausedState] = useState(false);
  const [reconnects, setReconnects] = useState(0);
  const pausedNow = useRef(false);
  /** Not shown yet, newest last. */
  const pending = useRef<ServedCall[]>([]);

  const showPending = useCallback(() => {
    const newCalls = pending.current.splice(0).reverse();
    setWaiting(0);
    if (newCalls.length > 0) setCalls((before) => mergeCalls(newCalls, before));
  }, []);

  useEffect(() => {
    let closed = false;
    pending.current = [];
    setCalls([]);
    setWaiting(0);
    setLeftOut(0);
    setOthersLost(null);
    setState('connecting');
    setProblem(null);
    const loadRecentCalls = () =>
      request<{ items: ServedCall[] }>(
        `/calls${queryString}${queryString === '' ? '?' : '&'}limit=${FIRST_ROWS}`,
      );
    const showRecentCalls = () => {
      loadRecentCalls().then(
        ({ items }) => {
          if (!closed) setCalls((shown) => mergeCalls(shown, items));
        },
        (error: unknown) => {
          if (!closed) setProblem(asProblem(error));
        },
      );
    };
    const source = new EventSource(apiUrl(`/live${queryString}`));
    source.addEventListener('open', () => setState('open'));
    source.addEventListener('call', (event) => {
      pending.current.push(JSON.parse(event.data) as ServedCall);
      if (pending.current.length > MAX_ROWS) pending.current.shift();
      if (pausedNow.current) setWaiting((count) => count + 1);
    });
    source.addEventListener('left_out', (event) => {
      const { calls: more } = JSON.parse(event.data) as { calls: number };
      setLeftOut((count) => count + more);
    });
    source.addEventListener('others', (event) => {
      const others = JSON.parse(event.data) as LiveOthers;
      if (others.state === 'lost') {
        const since = new Date().toISOString();
        const reason = others.reason ?? '';
        setOthersLost((before) => ({ since: before?.since ?? since, reason }));
      } else if (others.state === 'joined') {
        setOthersLost(null);
        // The feed has none of the calls that the others stored until now.
        showRecentCalls();
      }
    });
    source.addEventListener('error', () => {
      if (closed) return;
      setState('lost');
      // The browser reconnects by itself until it closes the source. An EventSource does not tell why it was
      // refused, so the same query is sent as an ordinary request, whose response does.
      if (source.readyState === EventSource.CLOSED) {
        loadRecentCalls().then(
          () =>
            setProblem(
              new Problem(
                0,
                'The live feed was refused',
                'Too many live feeds may be open. Close one and try again.',
              ),
            ),
          (error: unknown) => setProblem(asProblem(error)),
        );
      }
    });
    // The screen begins with the most recent calls instead of an empty table.
    showRecentCalls();
    const timer = setInterval(() => {
      if (!pausedNow.current && pending.current.length > 0) showPending();
    }, RENDER_INTERVAL_MS);
    return () => {
      closed = true;
      source.close();
      clearInterval(timer);
    };
  }, [queryString, reconnects]);

  const setPaused = (next: boolean) => {
    pausedNow.current = next;
    setPausedState(next);
    if (!next) showPending();
  };
  return {
    calls,
    waiting,
    leftOut,
    othersLost,
    state,
    problem,
    paused,
    setPaused,
    clear: () => setCalls([]),
    reconnect: () => setReconnects((count) => count + 1),
  };
}

/**
 * Merges two lists, newest first. A call can be in both: the feed sent it, and the list of recent calls has
 * it.
 */
function mergeCalls(newer: readonly ServedCall[], older: readonly ServedCall[]): ServedCall[] {
  const known = new Set(newer.map(({ id }) => id));
  return [...newer, ...older.filter(({ id }) => !known.has(id))].slice(0, MAX_ROWS);
}
