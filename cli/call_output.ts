/** Calls on stdout, as lines for people or as the contract's JSON lines: what `watch` and `read` share. */
import type { Call } from '../protocol/call.ts';
import type { Counters } from '../protocol/records.ts';
import { callLine } from './call_line.ts';

export class CallPrinter {
  /** Resolves when nobody reads stdout any more (`| head`). */
  readonly broken: Promise<void>;
  private readonly json: boolean;
  private readonly colour: boolean;
  private calls = 0;
  private v1 = 0;

  constructor({ json, color }: { json: boolean; color: 'auto' | 'always' | 'never' }) {
    this.json = json;
    const isAutoColour = process.stdout.isTTY && !process.env['NO_COLOR'];
    this.colour = color === 'always' || (color === 'auto' && Boolean(isAutoColour));
    this.broken = new Promise((resolve, reject) => {
      process.stdout.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EPIPE') resolve();
        else reject(error);
      });
    });
  }

  /** Written at once: Node writes to files, pipes and terminals synchronously. */
  print(call: Call): void {
    this.calls++;
    if (call['imds.version'] === 1) this.v1++;
    // A bare pty says that it has no columns at all.
    const columns = process.stdout.isTTY ? process.stdout.columns || null : null;
    const line = this.json ? JSON.stringify(call) : callLine(call, { colour: this.colour, columns });
    process.stdout.write(`${line}\n`);
  }

  summary(): string {
    return `${this.calls} calls: ${this.v1} IMDSv1, ${this.calls - this.v1} IMDSv2.`;
  }
}

/** What was lost, for people; empty when nothing was. */
export function lossLine(losses: Counters): string {
  const parts = Object.entries(losses).map(([name, count]) => `${name} ${count}`);
  return parts.length === 0 ? '' : `not everything was seen or known: ${parts.join(', ')}`;
}
