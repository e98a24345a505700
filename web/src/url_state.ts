/** The state of a screen is in its address, so that a link shows another person the same. */
import { useCallback, useMemo } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';

export interface UrlState {
  params: URLSearchParams;
  /**
   * Sets parameters; `null` or '' removes one. The history entry is replaced, because a filter is not a new
   * screen.
   */
  set(changes: Record<string, string | string[] | null>): void;
}

export function useUrlState(): UrlState {
  const { url, path, route } = useLocation();
  const params = useMemo(() => new URL(url, location.origin).searchParams, [url]);
  const set = useCallback(
    (changes: Record<string, string | string[] | null>) => {
      const next = new URLSearchParams(location.search);
      for (const [name, value] of Object.entries(changes)) {
        next.delete(name);
        for (const item of Array.isArray(value) ? value : [value]) if (item) next.append(name, item);
      }
      const query = next.toString();
      route(path + (query === '' ? '' : `?${query}`), true);
    },
    [path, route],
  );
  return { params, set };
}

/** The windows to choose from, in days. */
export const DAYS = [1, 7, 14, 30, 90] as const;
/** The collector's own default. */
export const DEFAULT_DAYS = 14;

/** Returns the days of the window that the address asks for. */
export function daysOf(params: URLSearchParams): number {
  const days = Number(params.get('days'));
  return Number.isInteger(days) && days >= 1 && days <= 400 ? days : DEFAULT_DAYS;
}

export type QueryParams = Record<string, string | number | string[] | null | undefined>;

/** Builds a query string with its `?`, without the parameters that are empty. Returns '' if all are. */
export function query(params: QueryParams): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null && item !== undefined && item !== '') search.append(name, String(item));
    }
  }
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}
