/**
 * Requests the facts of the instance from the instance metadata service, with IMDSv2 only: without a token
 * nothing else is tried. It requests a token, the identity document, the list of tags and some tags, and
 * never credentials.
 *
 * Sources: AWS EC2 user guide, "Use the Instance Metadata Service to access instance metadata", "Instance
 * identity documents", "View tags for your EC2 instances using instance metadata".
 */

import type { IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { NODE_GROUP_TAG, SCALING_GROUP_TAG } from '../../common/instance_tags.ts';
import { IMDS_IPV4, IMDS_IPV6, IMDS_PORT, TOKEN_HEADER, TOKEN_TTL_HEADER } from '../../protocol/endpoints.ts';
import { INSTANCE_ID } from './host_facts.ts';
import type { OwnCalls } from './own_calls.ts';

const REQUEST_TIMEOUT_MS = 2_000;
/**
 * Ten requests a second are some hundred packets; link-local services share 1,024 a second (AWS EC2 user
 * guide).
 */
const BETWEEN_REQUESTS_MS = 100;
/** Longer than all requests take together. */
const TOKEN_TTL_SECONDS = 60;
const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_TAGS = 12;
/**
 * Tags that group hosts: an Auto Scaling group, a cluster. They are requested first where there are more than
 * `MAX_TAGS`.
 */
const TAGS_FIRST = ['Name', SCALING_GROUP_TAG, 'aws:eks:cluster-name', 'eks:cluster-name', NODE_GROUP_TAG];
/** Keys that are possible while tags are in the metadata. */
const TAG_KEY = /^(?!\.{1,2}$|_index$)[A-Za-z0-9+\-=.,_:@]{1,128}$/;
const TOKEN = /^[\x21-\x7e]{1,1024}$/;
const MAX_TAG_VALUE_CHARS = 256;

const identifier = z
  .string()
  .regex(/^[\x21-\x7e]{1,100}$/)
  .nullish()
  .transform((text) => text ?? null);
const document = z.object({
  instanceId: z.string().regex(INSTANCE_ID),
  accountId: z.string().regex(/^\d{12}$/),
  region: identifier,
  availabilityZone: identifier,
  instanceType: identifier,
  imageId: identifier,
});

/** The facts that are stored. They hold no token, no signature and no credential. */
export const instanceFacts = z.object({
  instance_id: z.string().regex(INSTANCE_ID),
  account: z.string(),
  region: z.string().nullable(),
  zone: z.string().nullable(),
  type: z.string().nullable(),
  image_id: z.string().nullable(),
  /** Null where tags are not in the metadata. */
  tags: z.record(z.string().max(128), z.string().max(MAX_TAG_VALUE_CHARS)).nullable(),
});
export type InstanceFacts = z.infer<typeof instanceFacts>;

/** The service gave no usable answer. `status` is that of its answer; null without one. */
export class NotLearnt extends Error {
  readonly status: number | null;
  constructor(message: string, status: number | null) {
    super(message);
    this.status = status;
  }
}

export interface AskOptions {
  own: OwnCalls;
  /** Called before each request. Returns false if no more may be sent. */
  mayAsk: () => boolean;
  signal: AbortSignal;
}

interface Answer {
  status: number;
  body: string;
}

/**
 * Requests all facts once. @throws NotLearnt without a token, and without an identity document of an
 * instance.
 */
export async function askInstanceMetadata(options: AskOptions): Promise<InstanceFacts> {
  const session = new Session(options);
  await session.begin();
  const { instanceId, accountId, region, availabilityZone, instanceType, imageId } = parsed(
    await session.get('/latest/dynamic/instance-identity/document'),
  );
  return {
    instance_id: instanceId,
    account: accountId,
    region,
    zone: availabilityZone,
    type: instanceType,
    image_id: imageId,
    tags: await tagsOf(session),
  };
}

function parsed(answer: Answer): z.infer<typeof document> {
  if (answer.status !== 200) {
    throw new NotLearnt(`the identity document was refused with status ${answer.status}`, answer.status);
  }
  let value: unknown = null;
  try {
    value = JSON.parse(answer.body);
  } catch {
    // The check below rejects it, as anything else that is no document.
  }
  const result = document.safeParse(value);
  if (!result.success)
    throw new NotLearnt('the answer is no identity document of an instance', answer.status);
  return result.data;
}

async function tagsOf(session: Session): Promise<Record<string, string> | null> {
  const { status, body } = await session.get('/latest/meta-data/tags/instance');
  if (status !== 200) return null;
  const keys = body
    .split('\n')
    .map((line) => line.trim())
    .filter((key) => TAG_KEY.test(key));
  const first = TAGS_FIRST.filter((key) => keys.includes(key));
  const requestedKeys = [...new Set([...first, ...keys])].slice(0, MAX_TAGS);
  const tags: [string, string][] = [];
  for (const key of requestedKeys) {
    const value = await session.get(`/latest/meta-data/tags/instance/${key}`);
    if (value.status === 200) tags.push([key, value.body.slice(0, MAX_TAG_VALUE_CHARS)]);
  }
  return Object.fromEntries(tags);
}

class Session {
  readonly #options: AskOptions;
  #address: string = IMDS_IPV4;
  #token = '';
  #isFirst = true;

  constructor(options: AskOptions) {
    this.#options = options;
  }

  async begin(): Promise<void> {
    const put = () =>
      this.#request('PUT', '/latest/api/token', { [TOKEN_TTL_HEADER]: String(TOKEN_TTL_SECONDS) });
    let answer: Answer;
    try {
      answer = await put();
    } catch (error) {
      // Without a route over IPv4 the instance has IPv6 only. After a time-out nothing else is tried.
      if (!['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL'].includes(codeOf(error))) throw asNotLearnt(error);
      this.#address = IMDS_IPV6;
      try {
        answer = await put();
      } catch (second) {
        throw asNotLearnt(second);
      }
    }
    const { status, body } = answer;
    if (status !== 200 || !TOKEN.test(body)) {
      throw new NotLearnt(`a session token was refused with status ${status}`, status);
    }
    this.#token = body;
  }

  async get(path: string): Promise<Answer> {
    try {
      return await this.#request('GET', path, { [TOKEN_HEADER]: this.#token });
    } catch (error) {
      throw asNotLearnt(error);
    }
  }

  async #request(method: string, path: string, headers: Record<string, string>): Promise<Answer> {
    const { own, mayAsk, signal } = this.#options;
    if (!this.#isFirst) await sleep(BETWEEN_REQUESTS_MS, undefined, { signal });
    this.#isFirst = false;
    if (!mayAsk()) throw new NotLearnt('the limit of requests in one boot is reached', null);
    // Not by `import`, which would load fetch too: 17 MB resident instead of 3.
    const http = createRequire(import.meta.url)('node:http') as typeof import('node:http');
    const host = this.#address;
    return new Promise<Answer>((resolve, reject) => {
      const request = http.request(
        {
          method,
          path,
          headers: { host: host.includes(':') ? `[${host}]` : host, 'user-agent': 'imdswatch', ...headers },
          signal,
          createConnection: () => {
            const socket = connect({ host, port: IMDS_PORT, autoSelectFamily: false });
            own.followSocket(socket, host, IMDS_PORT);
            return socket;
          },
        },
        (response) => collect(response, resolve, reject),
      );
      const timer = setTimeout(
        () => request.destroy(new Error(`no answer in ${REQUEST_TIMEOUT_MS} ms`)),
        REQUEST_TIMEOUT_MS,
      );
      request.on('close', () => clearTimeout(timer));
      request.on('error', reject);
      request.end();
    });
  }
}

function collect(
  response: IncomingMessage,
  resolve: (answer: Answer) => void,
  reject: (error: Error) => void,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) response.destroy(new Error(`answered more than ${MAX_ANSWER_BYTES} bytes`));
    else chunks.push(chunk);
  });
  response.on('error', reject);
  response.on('end', () =>
    resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
  );
}

function asNotLearnt(error: unknown): Error {
  if (error instanceof NotLearnt) return error;
  if (error instanceof Error && error.name === 'AbortError') return error;
  return new NotLearnt(error instanceof Error ? error.message : String(error), null);
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}
