/**
 * Defines the messages between the lab and its metadata service: how it must behave, and the requests that it
 * saw.
 */

export interface Behaviour {
  /** `required`: a request without a token gets 401. */
  httpTokens: 'optional' | 'required';
  /** `disabled`: 403 for everything. */
  httpEndpoint: 'enabled' | 'disabled';
  /** The header `Connection` of answers. The real service sends `close`. */
  connection: 'close' | 'keep-alive';
  /** The mark of an answer's end: Content-Length, chunks, or (with `close`) the end of the connection. */
  framing: 'length' | 'chunked' | 'until-close';
  /** The answer to a well-formed token request. `hang`: no answer, as behind a hop limit that is too low. */
  tokenAnswer: 'normal' | 'hang' | 403 | 404 | 405;
  /** IP TTL (IPv6: hop limit) of the answers to token requests only, 1 to 64. */
  putResponseHopLimit: number;
  /** `InstanceMetadataTags`: whether the instance's tags are served. */
  instanceTags: 'enabled' | 'disabled';
  /** The answer to every request. `reset`: a TCP reset instead of an answer; `throttle`: 503. */
  answer: 'normal' | 'hang' | 'reset' | 'throttle';
  /** Milliseconds between a request and its answer. */
  delayMs: number;
}

export const NORMAL_BEHAVIOUR: Readonly<Behaviour> = {
  httpTokens: 'optional',
  httpEndpoint: 'enabled',
  connection: 'close',
  framing: 'length',
  tokenAnswer: 'normal',
  putResponseHopLimit: 64,
  instanceTags: 'disabled',
  answer: 'normal',
  delayMs: 0,
};

/** One request as the metadata service saw it. A token is never part of it. */
export interface SeenRequest {
  /** Counts up from 1 in the order of the requests' arrival. */
  seq: number;
  /** RFC 3339, UTC, milliseconds: when the request's head was complete. */
  time: string;
  /** Counts the accepted connections up from 1. */
  connection: number;
  clientAddress: string;
  clientPort: number;
  serverAddress: string;
  /** Null when the request was so malformed that the HTTP parser refused it. */
  method: string | null;
  /** The request target as sent, query included. Null as `method`. */
  target: string | null;
  /**
   * The documented rule: 2 when the token header is there or it is a token request, else 1. Null as `method`.
   */
  version: 1 | 2 | null;
  /** Null when no answer was sent. */
  status: number | null;
  /** Tells whether the answer carried `X-aws-ec2-metadata-token-ttl-seconds`. */
  ttlHeaderSent: boolean;
}

/** From the lab to the service. */
export type ToService =
  | { type: 'set'; change: Partial<Behaviour>; id: number }
  | { type: 'sync'; id: number };
/** From the service to the lab. `done` answers `set` and `sync`, after every `seen` that came before. */
export type FromService =
  | { type: 'ready' }
  | { type: 'seen'; request: SeenRequest }
  | { type: 'done'; id: number; pending: number; connections: number };
