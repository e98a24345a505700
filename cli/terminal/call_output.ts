/** Prints calls on stdout for `watch` and `read`, as lines for people or as JSON lines (docs/events.md). */
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
  private otherClouds = 0;
  private blocked = 0;

  constructor({ json, color }: { json: boolean; color: 'auto' | 'always' | 'never' }, output: LineOutput) {
    this.output = output;
    this.json = json;
    // process.stdout is not used: it would make a pipe non-blocking for every process that shares it.
    this.isTerminal = isatty(STDOUT);
    const isAutoColour = this.isTerminal && !process.env['NO_COLOR'];
    this.colour = color === 'always' || (color === 'auto' && isAutoColour);
  }

  print(call: Call): void {
    this.calls++;
    if (call['imds.category'] === 'other-cloud' && call['imds.version'] === 1) this.otherClouds++;
    else if (call['imds.version'] === 1) this.v1++;
    else if (call['imds.version'] === 2) this.v2++;
    if (call.outcome === 'blocked') this.blocked++;
    // A pty without a size reports 0 columns.
    const columns = this.isTerminal ? process.stdout.columns || null : null;
    const line = this.json ? visibleJson(call) : callLine(call, { colour: this.colour, columns });
    this.output.write(line);
  }

  summary(): string {
    const completed = this.calls - this.blocked;
    // The endpoints of ECS and EKS have no versions.
    const others = completed - this.v1 - this.v2 - this.otherClouds;
    const clouds = this.otherClouds === 0 ? '' : `, ${this.otherClouds} that look for other clouds`;
    const other = `${clouds}${others === 0 ? '' : `, ${others} to endpoints without versions`}`;
    const blocked = this.blocked === 0 ? '' : ` Attempts blocked on this host: ${this.blocked}.`;
    return `${completed} calls: ${this.v1} IMDSv1, ${this.v2} IMDSv2${other}.${blocked}`;
  }
}

/** Returns a line that lists the losses; empty when there are none. */
export function lossLine(losses: Counters): string {
  const parts = Object.entries(losses).map(([name, count]) => `${visibleText(name)} ${count}`);
  return parts.length === 0 ? '' : `some calls or facts were lost: ${parts.join(', ')}`;
}
