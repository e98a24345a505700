/** Requests to the collector that serves this page. The session is a cookie: nothing here holds a secret. */

const BASE = '/api/v1';
/** A question over 90 days of a large fleet answers within a second; this is for a collector that hangs. */
const TIMEOUT_MS = 30_000;

/** A problem document (RFC 9457), or what stands for one where the collector gave none. */
export class Problem extends Error {
  readonly status: number;
  readonly title: string;
  readonly detail: string | null;

  constructor(status: number, title: string, detail: string | null) {
    super(detail === null ? title : `${title}: ${detail}`);
    this.name = 'Problem';
    this.status = status;
    this.title = title;
    this.detail = detail;
  }
}

let signedOut: () => void = () => {};
/** Called when an answer says that the session is over. */
export function onSignedOut(listener: () => void): void {
  signedOut = listener;
}

export interface Ask {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  body?: unknown;
  signal?: AbortSignal;
  /** For the sign-in itself, whose 401 says that the token was wrong. */
  keepSession?: boolean;
}

/** `path` is below /api/v1. Answers the JSON body, `null` for one without. Throws `Problem`. */
export async function ask<T>(
  path: string,
  { method = 'GET', body, signal, keepSession }: Ask = {},
): Promise<T> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(BASE + path, {
      method,
      headers: {
        accept: 'application/json, application/problem+json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      credentials: 'same-origin',
      signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw timeout.aborted
      ? new Problem(
          0,
          'The collector did not respond',
          `There was no response within ${TIMEOUT_MS / 1000} seconds. Try again.`,
        )
      : new Problem(
          0,
          'The collector cannot be reached',
          'Check that the collector is running and that this machine can reach it.',
        );
  }
  if (response.ok) return response.status === 204 ? (null as T) : await bodyOf<T>(response);
  if (response.status === 401 && !keepSession) signedOut();
  throw await problemOf(response);
}

async function bodyOf<T>(response: Response): Promise<T> {
  const text = await response.text();
  if (text === '') return null as T;
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new Problem(
      response.status,
      'The response is not JSON',
      'Another server may be running at this address. Check the address of the collector.',
    );
  }
}

async function problemOf(response: Response): Promise<Problem> {
  const document = await response.json().catch(() => null);
  const { title, detail } = (document ?? {}) as { title?: unknown; detail?: unknown };
  return new Problem(
    response.status,
    typeof title === 'string'
      ? title
      : `The collector responded with ${response.status} ${response.statusText}`.trim(),
    typeof detail === 'string' ? detail : null,
  );
}

/** For links that the browser follows itself: exports, and the live feed. */
export function apiUrl(path: string): string {
  return BASE + path;
}
