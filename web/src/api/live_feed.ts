/** The collector's live feed (server-sent events), bounded: what is shown, and what waits while it is paused. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { ServedCall } from '../../../collector/contract/served_call.ts';
import { asProblem } from './answer.ts';
import { apiUrl, ask, Problem } from './client.ts';

export const MAX_ROWS = 300;
const FIRST_ROWS = 50;
/** Calls are shown in bunches: a row at a time keeps a browser busy with nothing but layout. */
const BUNCH_MS = 200;

export interface LiveFeed {
  /** Newest first. */
  calls: ServedCall[];
  /** Came while paused; of these the newest `MAX_ROWS` are kept. */
  waiting: number;
  /** Calls that the collector did not send, because they came too fast. */
  leftOut: number;
  state: 'connecting' | 'open' | 'lost';
  problem: Problem | null;
  paused: boolean;
  setPaused(paused: boolean): void;
  clear(): void;
  reconnect(): void;
}

/** `queryString`: as for `GET /calls`, with the `?` or empty. */
export function useLiveFeed(queryString: string): LiveFeed {
  const [calls, setCalls] = useState<ServedCall[]>([]);
  const [waiting, setWaiting] = useState(0);
  const [leftOut, setLeftOut] = useState(0);
  const [state, setState] = useState<LiveFeed['state']>('connecting');
  const [problem, setProblem] = useState<Problem | null>(null);
  const [paused, setPausedState] = useState(false);
  const [turn, setTurn] = useState(0);
  const pausedNow = useRef(false);
  /** Newest last, not shown yet. */
  const held = useRef<ServedCall[]>([]);

  const show = useCallback(() => {
    const news = held.current.splice(0).reverse();
    setWaiting(0);
    if (news.length > 0) setCalls((before) => merged(news, before));
  }, []);

  useEffect(() => {
    let gone = false;
    held.current = [];
    setCalls([]);
    setWaiting(0);
    setLeftOut(0);
    setState('connecting');
    setProblem(null);
    const before = () =>
      ask<{ items: ServedCall[] }>(
        `/calls${queryString}${queryString === '' ? '?' : '&'}limit=${FIRST_ROWS}`,
      );
    const source = new EventSource(apiUrl(`/live${queryString}`));
    source.addEventListener('open', () => setState('open'));
    source.addEventListener('call', (event) => {
      held.current.push(JSON.parse(event.data) as ServedCall);
      if (held.current.length > MAX_ROWS) held.current.shift();
      if (pausedNow.current) setWaiting((count) => count + 1);
    });
    source.addEventListener('left_out', (event) => {
      const { calls: more } = JSON.parse(event.data) as { calls: number };
      setLeftOut((count) => count + more);
    });
    source.addEventListener('error', () => {
      if (gone) return;
      setState('lost');
      // While the browser tries again by itself there is nothing to say. When it gave up, the same question in another form
      // tells why: an EventSource does not.
      if (source.readyState === EventSource.CLOSED) {
        before().then(
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
    // What came just before: nobody wants to start with an empty screen.
    before().then(
      ({ items }) => {
        if (!gone) setCalls((shown) => merged(shown, items));
      },
      (error: unknown) => {
        if (!gone) setProblem(asProblem(error));
      },
    );
    const timer = setInterval(() => {
      if (!pausedNow.current && held.current.length > 0) show();
    }, BUNCH_MS);
    return () => {
      gone = true;
      source.close();
      clearInterval(timer);
    };
  }, [queryString, turn]);

  const setPaused = (next: boolean) => {
    pausedNow.current = next;
    setPausedState(next);
    if (!next) show();
  };
  return {
    calls,
    waiting,
    leftOut,
    state,
    problem,
    paused,
    setPaused,
    clear: () => setCalls([]),
    reconnect: () => setTurn((count) => count + 1),
  };
}

/** A call can come twice: by the feed, and in the list of what came before. */
function merged(newer: readonly ServedCall[], older: readonly ServedCall[]): ServedCall[] {
  const known = new Set(newer.map(({ id }) => id));
  return [...newer, ...older.filter(({ id }) => !known.has(id))].slice(0, MAX_ROWS);
}
