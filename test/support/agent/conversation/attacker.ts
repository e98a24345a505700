/**
 * Builds the segments that an attacker with raw sockets adds to a connection, from the segments of a script.
 */
import { ACK, RST, type Segment, SYN } from '../../../../agent/conversation/segment.ts';
import { IMDS_IPV4 } from '../../../../protocol/endpoints.ts';
import { answer, request, Script, type ScriptOptions, TTL_ANSWER } from './script.ts';

export const READ = 'GET /latest/meta-data/instance-id';
const NONE = new Uint8Array(0);

/** Two requests of the same length for the same path, with a token and without. */
export const V2 = request(READ, { 'X-aws-ec2-metadata-token': 'AQ==' });
export const V1 = request(READ, { 'X-aws-ec2-metadata-tokem': 'AQ==' });
export const V1_ANSWER = answer(200, 'x');
export const V2_ANSWER = answer(200, 'x', TTL_ANSWER);

/** Returns a connection with one request and its answer, still open. */
export function conversation(asked = V1, replied = V1_ANSWER, options: ScriptOptions = {}): Script {
  return new Script(options).say({ from: 'client', text: asked }).say({ from: 'server', text: replied });
}

/** Returns another segment in place of `model`, with the changes given. */
export function forged(model: Segment, changes: Partial<Segment>): Segment {
  return { ...model, flags: ACK, payload: NONE, ...changes };
}

export function shifted(seq: number, by: number): number {
  return (seq + by) >>> 0;
}

export function fromClient({ destinationAddress }: Segment): boolean {
  return destinationAddress === IMDS_IPV4;
}

/** Returns the first segment of the script that carries the client's data. */
export function firstRequest(script: Script): number {
  return script.segments.findIndex((segment) => fromClient(segment) && segment.payload.length > 0);
}

/** Puts segments before the one at `index`. */
export function inserted(segments: Segment[], index: number, ...added: Segment[]): Segment[] {
  return [...segments.slice(0, index), ...added, ...segments.slice(index)];
}

/** Returns the segments that only one side sent. */
export function half(segments: Segment[], isClient: boolean): Segment[] {
  return segments.filter((segment) => fromClient(segment) === isClient);
}

/** Returns the flow with other addresses, like masquerading does. */
export function translated(segments: Segment[], from: string, to: string): Segment[] {
  return segments.map((segment) => ({
    ...segment,
    sourceAddress: segment.sourceAddress.replace(from, to),
    destinationAddress: segment.destinationAddress.replace(from, to),
  }));
}

/** Builds a timestamp option (RFC 7323, section 3.2) in the layout of its appendix A. */
export function timestamps(value: number): Uint8Array {
  const option = Buffer.alloc(12, 0);
  option.set([1, 1, 8, 10]);
  option.writeUInt32BE(value >>> 0, 4);
  return option;
}

export function reset(model: Segment, seq: number): Segment {
  return forged(model, { flags: RST | ACK, seq });
}

export function syn(model: Segment, seq: number): Segment {
  return forged(model, { flags: SYN, seq, ack: 0 });
}
