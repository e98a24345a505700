/** Builds the segments of a connection from the data of each side, and plays segments through a tracker. */

import { type Classification, classify } from '../../../../agent/conversation/classify.ts';
import type { Exchange } from '../../../../agent/conversation/exchange.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../../agent/conversation/limits.ts';
import { ACK, FIN, RST, type Segment, SYN } from '../../../../agent/conversation/segment.ts';
import { Tracker } from '../../../../agent/conversation/tracker.ts';
import { IMDS_IPV4, IMDS_PORT } from '../../../../protocol/endpoints.ts';

export interface Turn {
  from: 'client' | 'server';
  text: string | Uint8Array;
  /** Lengths of the segments that carry the text; the rest goes into one more segment. */
  cuts?: number[];
}

export interface ScriptOptions {
  clientPort?: number;
  clientAddress?: string;
  clientIsn?: number;
  serverIsn?: number;
  startUs?: number;
  stepUs?: number;
  /** The end of the connection: both sides close it, the client resets it, or it stays open. */
  end?: 'fin' | 'reset' | 'open';
  syn?: boolean;
}

export const START_US = 1_780_000_000_000_000;

export class Script {
  readonly segments: Segment[] = [];
  private timeUs: number;
  private readonly stepUs: number;
  private clientSeq: number;
  private serverSeq: number;
  /** The latest acknowledgement that the client sent. */
  private clientAcked = 0;
  private readonly port: number;
  private readonly address: string;

  constructor(options: ScriptOptions = {}) {
    this.port = options.clientPort ?? 40_000;
    this.address = options.clientAddress ?? '10.0.0.7';
    this.timeUs = options.startUs ?? START_US;
    this.stepUs = options.stepUs ?? 10;
    this.clientSeq = options.clientIsn ?? 1_000;
    this.serverSeq = options.serverIsn ?? 900_000;
    if (options.syn !== false) {
      this.push('client', SYN, new Uint8Array(0));
      this.push('server', SYN | ACK, new Uint8Array(0));
      this.push('client', ACK, new Uint8Array(0));
    }
  }

  say({ from, text, cuts = [] }: Turn): this {
    let rest = typeof text === 'string' ? Buffer.from(text, 'latin1') : Buffer.from(text);
    for (const cut of cuts) {
      if (cut <= 0 || cut >= rest.length) continue;
      this.push(from, ACK, rest.subarray(0, cut));
      rest = rest.subarray(cut);
    }
    this.push(from, ACK, rest);
    this.push(from === 'client' ? 'server' : 'client', ACK, new Uint8Array(0));
    return this;
  }

  fin(from: 'client' | 'server'): this {
    return this.push(from, FIN | ACK, new Uint8Array(0));
  }

  reset(from: 'client' | 'server'): this {
    return this.push(from, RST | ACK, new Uint8Array(0));
  }

  /** Sends bytes that the other side does not acknowledge. */
  send(from: 'client' | 'server', text: string): this {
    return this.push(from, ACK, Buffer.from(text, 'latin1'));
  }

  /** The client closes or resets, and has not received what the service sent since its last acknowledgement. */
  closeWithoutReading(resets: boolean): this {
    const { serverSeq } = this;
    this.serverSeq = this.clientAcked;
    this.push('client', (resets ? RST : FIN) | ACK, new Uint8Array(0));
    this.serverSeq = serverSeq;
    return this;
  }

  /** Skips bytes of one side without a segment: they were never captured. */
  lose(from: 'client' | 'server', text: string): this {
    if (from === 'client') this.clientSeq = (this.clientSeq + text.length) >>> 0;
    else this.serverSeq = (this.serverSeq + text.length) >>> 0;
    return this.push(from === 'client' ? 'server' : 'client', ACK, new Uint8Array(0));
  }

  wait(us: number): this {
    this.timeUs += us;
    return this;
  }

  private push(from: 'client' | 'server', flags: number, payload: Uint8Array): this {
    const client = { address: this.address, port: this.port };
    const server = { address: IMDS_IPV4, port: IMDS_PORT };
    if (from === 'client') this.clientAcked = this.serverSeq;
    const [source, destination] = from === 'client' ? [client, server] : [server, client];
    const seq = from === 'client' ? this.clientSeq : this.serverSeq;
    const length = payload.length + (flags & (SYN | FIN) ? 1 : 0);
    this.segments.push({
      timeUs: this.timeUs,
      sourceAddress: source.address,
      sourcePort: source.port,
      destinationAddress: destination.address,
      destinationPort: destination.port,
      seq: seq >>> 0,
      ack: flags & ACK ? (from === 'client' ? this.serverSeq : this.clientSeq) >>> 0 : 0,
      flags,
      window: 64_240,
      options: new Uint8Array(0),
      payload,
      payloadCutBytes: 0,
      hopLimit: 64,
    });
    if (from === 'client') this.clientSeq = (this.clientSeq + length) >>> 0;
    else this.serverSeq = (this.serverSeq + length) >>> 0;
    this.timeUs += this.stepUs;
    return this;
  }
}

export interface Heard {
  port: number;
  exchange: Exchange;
  verdict: Classification;
}

/**
 * Plays segments and returns the exchanges: those reported meanwhile, after ticks until `tickUs` behind the
 * last segment, and at the end. With `ticksBetween` the clock also ticks with each segment.
 */
export function play(
  segments: Segment[],
  options: { tickUs?: number; limits?: Partial<Limits>; ticksBetween?: boolean } = {},
): { live: Heard[]; all: Heard[]; counters: Record<string, number>; opened: number; closed: number } {
  const heard: Heard[] = [];
  let opened = 0;
  let closed = 0;
  const tracker = new Tracker<number>(
    {
      connectionOpened: () => ++opened,
      requestSeen: () => {},
      clientClosed: () => {},
      exchangeCompleted: (tuple, _context, exchange) =>
        heard.push({ port: tuple.localPort, exchange, verdict: classify(exchange) }),
      connectionClosed: () => closed++,
    },
    (address, port) => address === IMDS_IPV4 && port === IMDS_PORT,
    { ...DEFAULT_LIMITS, ...options.limits },
  );
  let last = START_US;
  for (const segment of segments) {
    last = Math.max(last, segment.timeUs);
    if (options.ticksBetween) tracker.tick(last);
    // Like in a capture, the bytes are valid during the call and are then overwritten by the next packet.
    const buffer = Buffer.concat([segment.payload, segment.options]);
    const split = segment.payload.length;
    tracker.handleSegment({
      ...segment,
      payload: buffer.subarray(0, split),
      options: buffer.subarray(split),
    });
    buffer.fill('#');
  }
  const live = [...heard];
  for (let t = 0; t <= (options.tickUs ?? 0); t += 250_000) tracker.tick(last + t);
  tracker.finish();
  return { live, all: heard, counters: tracker.counters(), opened, closed };
}

/** Returns the facts that must not depend on the cuts and the order of the segments. */
export function essence(heard: Heard[]): unknown[] {
  return heard.map(({ port, exchange, verdict }) => ({
    port,
    request: exchange.request,
    response: exchange.response,
    outcome: exchange.outcome,
    verdict,
  }));
}

export function request(line: string, headers: Record<string, string> = {}, body = ''): string {
  const lines = Object.entries({ Host: IMDS_IPV4, ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  return `${line} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}

export function answer(status: number, body = '', headers: Record<string, string> = {}): string {
  const all: Record<string, string> = { Server: 'EC2ws', 'Content-Length': String(body.length), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} X\r\n${lines.join('')}\r\n${body}`;
}

export const TTL_ANSWER = { 'X-Aws-Ec2-Metadata-Token-Ttl-Seconds': '21600' };
