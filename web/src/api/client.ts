/** Requests to the collector that serves this page. The session is a cookie, so this code holds no secret. */

const BASE = '/api/v1';
/** A query over 90 days of a large fleet takes about a second. This timeout is for a collector that hangs. */
const TIMEOUT_MS = 30_000;

/** A problem document (RFC 9457), or one that the page writes for a collector that sent none. */
export class Problem extends Error {
  /** The HTTP status; 0 without a response. */
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

let signedOutListener: () => void = () => {};
/** Sets the listener that runs when a response says that the session has ended. */
export function onSignedOut(listener: () => void): void {
  signedOutListener = listener;
}

/** From when the data of an answer is, where a standby of the database may have given it. */
export interface DataSource {
  /** Whole seconds by which the standby was behind; null where the primary answered. */
  lagSeconds: number | null;
  /** RFC 3339. */
  asOf: string;
}

let sourceListener: (source: DataSource) => void = () => {};
/** Sets the listener that gets the source of each answer that names one. */
export function onDataSource(listener: (source: DataSource) => void): void {
  sourceListener = listener;
}

function noteSource({ headers }: Response): void {
  const asOf = headers.get('imdswatch-data-as-of');
  if (asOf === null) return;
  const lag = headers.get('imdswatch-standby-lag');
  sourceListener({ asOf, lagSeconds: lag === null ? null : Number(lag) });
}

export interface RequestOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  body?: unknown;
  signal?: AbortSignal;
  /** Set by the sign-in itself: its 401 means a wrong token and not the end of a session. */
  keepSession?: boolean;
}

/**
 * Sends a request to a path below /api/v1 and returns the JSON body, or `null` without one. Throws `Problem`.
 */
export async function request<T>(
  path: string,
  { method = 'GET', body, signal, keepSession }: RequestOptions = {},
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
  noteSource(response);
  if (response.ok) return response.status === 204 ? (null as T) : await readBody<T>(response);
  if (response.status === 401 && !keepSession) signedOutListener();
  throw await readProblem(response);
}

async function readBody<T>(response: Response): Promise<T> {
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

async function readProblem(response: Response): Promise<Problem> {
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

/** Returns the URL for requests that the browser makes itself: exports and the live feed. */
export function apiUrl(path: string): string {
  return BASE + path;
}
