/** Notices of plans that were reported, by server-sent events, so that a screen can load them again at once. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { apiUrl } from './client.ts';

/** A plan that changes many steps is loaded again this often, and not for each of its reports. */
const GATHER_MS = 400;

export type FeedState = 'connecting' | 'open' | 'lost';

/** Calls `onChange` after reports of the plan `id`, or of any plan for null, and after each connection. */
export function usePlanFeed(id: string | null, onChange: () => void): FeedState {
  const [state, setState] = useState<FeedState>('connecting');
  const latest = useRef(onChange);
  latest.current = onChange;
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | null = null;
    const changed = () => {
      timer ??= setTimeout(() => {
        timer = null;
        latest.current();
      }, GATHER_MS);
    };
    const source = new EventSource(apiUrl('/live?topic=plans'));
    let wasLost = false;
    source.addEventListener('open', () => {
      setState('open');
      // Reports that arrived while the feed was lost are in no event.
      if (wasLost) changed();
    });
    source.addEventListener('plan', (event) => {
      const notice = JSON.parse(event.data) as { id: string };
      if (id === null || notice.id === id) changed();
    });
    source.addEventListener('error', () => {
      wasLost = true;
      setState('lost');
    });
    return () => {
      source.close();
      if (timer !== null) clearTimeout(timer);
    };
  }, [id]);
  return state;
}
