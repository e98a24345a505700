/** What a screen shows is in the address: a link shows somebody else the same. */
import { useCallback, useMemo } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';

export interface UrlState {
  params: URLSearchParams;
  /** `null` or '' takes a parameter away. Replaces the entry in the history: typing is not navigating. */
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
        for (const one of Array.isArray(value) ? value : [value]) if (one) next.append(name, one);
      }
      const query = next.toString();
      route(path + (query === '' ? '' : `?${query}`), true);
    },
    [path, route],
  );
  return { params, set };
}

/** Of the question, in whole days; the collector's own default where the address says nothing. */
export const DAYS = [1, 7, 14, 30, 90] as const;
export const DEFAULT_DAYS = 14;

export function daysOf(params: URLSearchParams): number {
  const days = Number(params.get('days'));
  return Number.isInteger(days) && days >= 1 && days <= 400 ? days : DEFAULT_DAYS;
}

/** A query string of those parameters that are there, with the `?`; '' for none. */
export function query(params: Record<string, string | number | string[] | null | undefined>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== '') search.append(name, String(one));
    }
  }
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}
