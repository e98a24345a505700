/** Asks Backstage one question, with bounds of time and size. No redirect is followed, because it could lead anywhere. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';

/** An error whose message holds no token and no part of an answer. */
export class CatalogueError extends Error {
  override name = 'CatalogueError';
}

export interface Question {
  url: URL;
  token: string;
  /** Certificates (PEM) of the authorities that are trusted instead of the usual ones; null for those. */
  ca: string | null;
  /** Ends the question. */
  signal: AbortSignal;
  /** Time for the whole answer, in milliseconds. */
  timeoutMs: number;
  maxBytes: number;
}

/** Returns the JSON of an answer and its size in bytes. Throws `CatalogueError`. */
export async function askCatalogue(question: Question): Promise<{ json: unknown; bytes: number }> {
  const { url, signal, timeoutMs } = question;
  const place = `${url.origin}${url.pathname}`;
  const late = AbortSignal.timeout(timeoutMs);
  let body: Buffer;
  try {
    const answer = await answerTo(question, AbortSignal.any([signal, late]));
    body = await bodyOf(answer, place, question.maxBytes);
  } catch (error) {
    if (error instanceof CatalogueError) throw error;
    if (signal.aborted)
      throw new CatalogueError(`${place}: the catalogue takes too long, or this collector ends`);
    if (late.aborted) throw new CatalogueError(`${place} gave no whole answer within ${timeoutMs / 1000} s`);
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CatalogueError(`${place}: ${message === '' ? (code ?? 'no connection') : message}`);
  }
  try {
    return { json: JSON.parse(body.toString('utf8')), bytes: body.length };
  } catch {
    throw new CatalogueError(`${place} answered with something that is not JSON`);
  }
}

function answerTo({ url, token, ca }: Question, signal: AbortSignal): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const options = {
    signal,
    agent: false as const,
    headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
  };
  const request =
    url.protocol === 'https:'
      ? httpsRequest(url, { ...options, ...(ca !== null && { ca }), rejectUnauthorized: true })
      : httpRequest(url, options);
  request.on('response', resolve);
  // The listener stays: a connection can also break after the answer has begun.
  request.on('error', reject);
  request.end();
  return promise;
}

async function bodyOf(answer: IncomingMessage, place: string, maxBytes: number): Promise<Buffer> {
  const { statusCode: status = 0, headers } = answer;
  if (status !== 200) {
    answer.destroy();
    throw new CatalogueError(`${place} answered with status ${status}${hint(status)}`);
  }
  const type = (headers['content-type'] ?? '').split(';')[0]!.trim();
  if (type !== 'application/json') {
    answer.destroy();
    throw new CatalogueError(
      `${place} answered with ${type === 'text/html' ? 'a page (text/html)' : 'another type'} instead of JSON. Set backstage_url to the address of the backend, as backend.baseUrl of Backstage has it.`,
    );
  }
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length;
    // Leaving the loop ends the connection.
    if (bytes > maxBytes)
      throw new CatalogueError(`${place} sent more than ${maxBytes} bytes, which is the limit`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function hint(status: number): string {
  if (status === 401) return ': it does not accept the token in backstage_token_file';
  if (status === 403) return ': the token in backstage_token_file may not read the catalogue';
  if (status === 404) return ': backstage_url is not the address of a Backstage backend with a catalogue';
  if (status >= 300 && status < 400)
    return ': redirects are not followed, set backstage_url to the final address';
  return '';
}
