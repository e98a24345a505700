/** Hooks that load data from the collector: one resource, or a list page by page. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { Problem, request } from './client.ts';

export interface Resource<T> {
  data: T | null;
  /** With `data`: the latest refresh failed, and `data` is from before it. */
  problem: Problem | null;
  loading: boolean;
  reload(): void;
}

export interface ResourceList<T> extends Resource<T[]> {
  /** When the first page was judged; null where the list does not say. */
  asOf: string | null;
  /** Loads the next page; null after the last one. */
  more: (() => void) | null;
  loadingMore: boolean;
}

const REFRESH_MS = 60_000;
/** The latest data by path. A person who goes back sees it at once while it is loaded again. */
const cache = new Map<string, unknown>();
const MAX_CACHED = 40;

function cacheData(path: string, data: unknown): void {
  cache.delete(path);
  cache.set(path, data);
  if (cache.size > MAX_CACHED) cache.delete(cache.keys().next().value!);
}

export function clearCachedResources(): void {
  cache.clear();
}

interface State<T> {
  path: string | null;
  data: T | null;
  problem: Problem | null;
  loading: boolean;
}

function initialState<T>(path: string | null): State<T> {
  const data = path === null ? null : ((cache.get(path) as T | undefined) ?? null);
  return { path, data, problem: null, loading: path !== null };
}

/**
 * Loads a path, and loads it again every minute while the page is visible. Loads nothing while `path` is
 * null.
 */
export function useResource<T>(path: string | null, refresh = true): Resource<T> {
  const [state, setState] = useState<State<T>>(() => initialState<T>(path));
  const [reloads, setReloads] = useState(0);

  useEffect(() => {
    if (path === null) return;
    const abort = new AbortController();
    setState((before) => (before.path === path ? { ...before, loading: true } : initialState<T>(path)));
    request<T>(path, { signal: abort.signal }).then(
      (data) => {
        if (abort.signal.aborted) return;
        cacheData(path, data);
        setState({ path, data, problem: null, loading: false });
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        setState((before) => ({ ...before, problem: asProblem(error), loading: false }));
      },
    );
    return () => abort.abort();
  }, [path, reloads]);

  const reload = useCallback(() => setReloads((count) => count + 1), []);
  useRefresh(reload, refresh);
  // Between a new path and its effect, the data of the old path must not be shown as the data of the new one.
  const current = state.path === path ? state : initialState<T>(path);
  return { data: current.data, problem: current.problem, loading: current.loading, reload };
}

interface Page<T> {
  items: T[];
  next: string | null;
  as_of?: string;
}

/** The pages after the first one. They belong to one load of the first page. */
interface FurtherPages<T> {
  path: string;
  firstPage: Page<T> | null;
  items: T[];
  next: string | null;
}

/**
 * Loads a list. It refreshes only while it shows one page, because a refresh would remove the further pages.
 */
export function useResourceList<T>(path: string, limit: number): ResourceList<T> {
  const separator = path.includes('?') ? '&' : '?';
  const [further, setFurther] = useState<FurtherPages<T>>({ path, firstPage: null, items: [], next: null });
  const first = useResource<Page<T>>(
    `${path}${separator}limit=${limit}`,
    further.path !== path || further.items.length === 0,
  );
  const [loadingMore, setLoadingMore] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const shownPage = useRef(first.data);
  shownPage.current = first.data;

  const isExtended = further.firstPage === first.data && first.data !== null;
  const next = isExtended ? further.next : (first.data?.next ?? null);
  const loadMore = () => {
    const firstPage = first.data;
    if (firstPage === null || next === null || loadingMore) return;
    setLoadingMore(true);
    setProblem(null);
    request<Page<T>>(`${path}${separator}limit=${limit}&cursor=${encodeURIComponent(next)}`)
      .then((page) => {
        if (shownPage.current !== firstPage) return; // The list was filtered or sorted anew in the meantime.
        const before = further.firstPage === firstPage ? further.items : [];
        setFurther({ path, firstPage, items: [...before, ...page.items], next: page.next });
      })
      .catch((error: unknown) => setProblem(asProblem(error)))
      .finally(() => setLoadingMore(false));
  };
  return {
    data:
      first.data === null ? null : isExtended ? [...first.data.items, ...further.items] : first.data.items,
    asOf: first.data?.as_of ?? null,
    problem: first.problem ?? problem,
    loading: first.loading,
    reload: first.reload,
    more: next === null ? null : loadMore,
    loadingMore,
  };
}

function useRefresh(reload: () => void, enabled: boolean): void {
  useEffect(() => {
    if (!enabled) return;
    const refresh = () => {
      if (document.visibilityState === 'visible') reload();
    };
    const timer = setInterval(refresh, REFRESH_MS);
    return () => clearInterval(timer);
  }, [reload, enabled]);
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
