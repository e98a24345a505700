/** Calls on stdout, as lines for people or as the contract's JSON lines: what `watch` and `read` share. */
import { isatty } from 'node:tty';
import type { Call } from '../../protocol/call.ts';
import type { Counters } from '../../protocol/records.ts';
import { callLine } from './call_line.ts';
import type { LineOutput } from './line_output.ts';
import { visibleJson, visibleText } from './visible_text.ts';

const STDOUT = 1;

export class CallPrinter {
  private readonly json: boolean;
  private readonly isTerminal: boolean;
  private readonly colour: boolean;
  private readonly output: LineOutput;
  private calls = 0;
  private v1 = 0;
  private v2 = 0;
  private blocked = 0;

  constructor({ json, color }: { json: boolean; color: 'auto' | 'always' | 'never' }, output: LineOutput) {
    this.output = output;
    this.json = json;
    // Not process.stdout, which would make a pipe a non-blocking one for everybody who has it.
    this.isTerminal = isatty(STDOUT);
    const isAutoColour = this.isTerminal && !process.env['NO_COLOR'];
    this.colour = color === 'always' || (color === 'auto' && isAutoColour);
  }

  print(call: Call): void {
    this.calls++;
    if (call['imds.version'] === 1) this.v1++;
    else if (call['imds.version'] === 2) this.v2++;
    if (call.outcome === 'blocked') this.blocked++;
    // A bare pty says that it has no columns at all.
    const columns = this.isTerminal ? process.stdout.columns || null : null;
    const line = this.json ? visibleJson(call) : callLine(call, { colour: this.colour, columns });
    this.output.write(line);
  }

  summary(): string {
    const made = this.calls - this.blocked;
    // Endpoints of ECS and EKS have no versions.
    const others = made - this.v1 - this.v2;
    const other = others === 0 ? '' : `, ${others} to endpoints without versions`;
    const blocked = this.blocked === 0 ? '' : ` ${this.blocked} attempts were blocked on this host.`;
    return `${made} calls: ${this.v1} IMDSv1, ${this.v2} IMDSv2${other}.${blocked}`;
  }
}

/** Returns what was lost, for people; empty when nothing was. */
export function lossLine(losses: Counters): string {
  const parts = Object.entries(losses).map(([name, count]) => `${visibleText(name)} ${count}`);
  return parts.length === 0 ? '' : `not everything was seen or known: ${parts.join(', ')}`;
}
