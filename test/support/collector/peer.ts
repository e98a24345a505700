/** The agent's side of a connection, under the control of a test frame by frame. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { AGENT_PATH } from '../../../protocol/frames.ts';
import { HOST } from './calls.ts';
import type { Bench } from './in_process.ts';
import { TOKEN } from './processes.ts';
import { eventually } from './stored.ts';

export type Frame = Record<string, unknown>;

/** The `hello` of a release before protocol 2. */
export const HELLO = { type: 'hello', protocol: 1, agent_version: '0.0.0', host: HOST };

export class Peer {
  readonly socket: WebSocket;
  readonly frames: Frame[] = [];
  closed: number | null = null;

  constructor(
    bench: Bench,
    url: string,
    headers: Record<string, string> = { authorization: `Bearer ${TOKEN}` },
  ) {
    this.socket = new WebSocket(`${url}${AGENT_PATH}`, { headers });
    this.socket.on('message', (data) => this.frames.push(JSON.parse(data.toString())));
    this.socket.on('error', () => {});
    this.socket.on('close', (code) => {
      this.closed = code;
    });
    bench.atEnd(() => this.socket.terminate());
  }

  send(frame: unknown): void {
    this.socket.send(JSON.stringify(frame));
  }

  async hello(changes: Frame = {}): Promise<this> {
    if (this.socket.readyState !== WebSocket.OPEN) await once(this.socket, 'open');
    this.send({ ...HELLO, stream: randomUUID(), ...changes });
    await eventually('an answer to hello', () => this.frames.length > 0 || this.closed !== null);
    return this;
  }

  async next(type: string): Promise<Frame> {
    await eventually(`a frame ${type}`, () => this.frames.some((frame) => frame['type'] === type));
    return this.frames.splice(
      this.frames.findIndex((frame) => frame['type'] === type),
      1,
    )[0]!;
  }
}
