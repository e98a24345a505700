/** Sends requests to the identity provider, with bounds of time and size. */
import type { CustomFetchOptions } from 'openid-client';

/** Time for one request, with its answer. */
export const REQUEST_TIMEOUT_SECONDS = 10;
/** A document of keys or of metadata has some kilobytes, and a token with many groups some more. */
export const MAX_ANSWER_BYTES = 1024 * 1024;

/** The provider gave no answer of its own: no connection, no time, or a failure of its server. */
export class ProviderAwayError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ProviderAwayError';
  }
}

/** Throws `ProviderAwayError`, whose message names no query and no credential. */
export async function providerFetch(
  address: string,
  { body: sent, ...init }: CustomFetchOptions,
): Promise<Response> {
  const { origin, pathname } = new URL(address);
  const place = `${origin}${pathname}`;
  let answer: Response;
  let body: Uint8Array<ArrayBuffer>;
  try {
    answer = await fetch(address, { ...init, ...(sent !== undefined && { body: sent }), redirect: 'manual' });
    body = await bodyOf(answer, place);
  } catch (error) {
    if (error instanceof ProviderAwayError) throw error;
    throw new ProviderAwayError(`${place}: ${reasonOf(error)}`, { cause: error });
  }
  if (answer.status >= 500) throw new ProviderAwayError(`${place} answered with status ${answer.status}`);
  const { status, statusText, headers } = answer;
  const hasBody = status !== 204 && status !== 205 && status !== 304;
  return new Response(hasBody ? body : null, { status, statusText, headers });
}

async function bodyOf(answer: Response, place: string): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of answer.body ?? []) {
    bytes += part.length;
    // Leaving the loop ends the connection.
    if (bytes > MAX_ANSWER_BYTES) throw new ProviderAwayError(`${place} sent more than 1 MiB`);
    parts.push(part);
  }
  const body = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}

/** `fetch` says only "fetch failed", and has the cause below. */
function reasonOf(error: unknown): string {
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return `no answer within ${REQUEST_TIMEOUT_SECONDS} s`;
  }
  const cause = (error as Error).cause;
  if (!(cause instanceof Error)) return (error as Error).message;
  const { code } = cause as NodeJS.ErrnoException;
  return cause.message === '' ? (code ?? cause.name) : cause.message;
}
