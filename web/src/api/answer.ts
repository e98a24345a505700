/** Hooks that ask the collector: one answer, or a list that is read page by page. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ask, Problem } from './client.ts';

export interface Answer<T> {
  data: T | null;
  /** Set beside `data` when a refresh failed: what is shown is from before. */
  problem: Problem | null;
  loading: boolean;
  reload(): void;
}

export interface ListAnswer<T> extends Answer<T[]> {
  /** Null when all is there. */
  more: (() => void) | null;
  loadingMore: boolean;
}

const REFRESH_MS = 60_000;
/** What was shown last, so that going back shows it at once while it is asked again. */
const remembered = new Map<string, unknown>();
const MAX_REMEMBERED = 40;

function remember(path: string, data: unknown): void {
  remembered.delete(path);
  remembered.set(path, data);
  if (remembered.size > MAX_REMEMBERED) remembered.delete(remembered.keys().next().value!);
}

export function forgetAnswers(): void {
  remembered.clear();
}

interface State<T> {
  path: string | null;
  data: T | null;
  problem: Problem | null;
  loading: boolean;
}

function stateFor<T>(path: string | null): State<T> {
  const data = path === null ? null : ((remembered.get(path) as T | undefined) ?? null);
  return { path, data, problem: null, loading: path !== null };
}

/** Asks again every minute while the page is looked at. `path` null: nothing is asked. */
export function useAnswer<T>(path: string | null, refresh = true): Answer<T> {
  const [state, setState] = useState<State<T>>(() => stateFor<T>(path));
  const [turn, setTurn] = useState(0);

  useEffect(() => {
    if (path === null) return;
    const gone = new AbortController();
    setState((before) => (before.path === path ? { ...before, loading: true } : stateFor<T>(path)));
    ask<T>(path, { signal: gone.signal }).then(
      (data) => {
        if (gone.signal.aborted) return;
        remember(path, data);
        setState({ path, data, problem: null, loading: false });
      },
      (error: unknown) => {
        if (gone.signal.aborted) return;
        setState((before) => ({ ...before, problem: asProblem(error), loading: false }));
      },
    );
    return () => gone.abort();
  }, [path, turn]);

  const reload = useCallback(() => setTurn((count) => count + 1), []);
  useRefresh(reload, refresh);
  // Between a new path and its effect, the answer to the old one must not be shown as the answer to the new one.
  const current = state.path === path ? state : stateFor<T>(path);
  return { data: current.data, problem: current.problem, loading: current.loading, reload };
}

interface Page<T> {
  items: T[];
  next: string | null;
}

/** There is no refresh while more than the first page is shown: it would take away what somebody has scrolled to. */
export function useList<T>(path: string, limit: number): ListAnswer<T> {
  const separator = path.includes('?') ? '&' : '?';
  const [further, setFurther] = useState<{
    path: string;
    of: Page<T> | null;
    items: T[];
    next: string | null;
  }>({
    path,
    of: null,
    items: [],
    next: null,
  });
  const first = useAnswer<Page<T>>(
    `${path}${separator}limit=${limit}`,
    further.path !== path || further.items.length === 0,
  );
  const [loadingMore, setLoadingMore] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const shown = useRef(first.data);
  shown.current = first.data;

  const extended = further.of === first.data && first.data !== null;
  const next = extended ? further.next : (first.data?.next ?? null);
  const more = () => {
    const of = first.data;
    if (of === null || next === null || loadingMore) return;
    setLoadingMore(true);
    setProblem(null);
    ask<Page<T>>(`${path}${separator}limit=${limit}&cursor=${encodeURIComponent(next)}`)
      .then((page) => {
        if (shown.current !== of) return; // another question by now
        const before = further.of === of ? further.items : [];
        setFurther({ path, of, items: [...before, ...page.items], next: page.next });
      })
      .catch((error: unknown) => setProblem(asProblem(error)))
      .finally(() => setLoadingMore(false));
  };
  return {
    data: first.data === null ? null : extended ? [...first.data.items, ...further.items] : first.data.items,
    problem: first.problem ?? problem,
    loading: first.loading,
    reload: first.reload,
    more: next === null ? null : more,
    loadingMore,
  };
}

function useRefresh(reload: () => void, wanted: boolean): void {
  useEffect(() => {
    if (!wanted) return;
    const refresh = () => {
      if (document.visibilityState === 'visible') reload();
    };
    const timer = setInterval(refresh, REFRESH_MS);
    return () => clearInterval(timer);
  }, [reload, wanted]);
}

export function asProblem(error: unknown): Problem {
  return error instanceof Problem
    ? error
    : new Problem(
        0,
        'The page had an error. Reload it.',
        error instanceof Error ? error.message : String(error),
      );
}
