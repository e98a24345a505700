/** Shows how far `imdswatch store copy` is, and what the stores have that were compared. */
import type { Comparison, CopyReport } from '../../collector/local.ts';
import { visibleText } from './visible_text.ts';

const NUMBER = new Intl.NumberFormat('en-US');
/** Time between two lines in a log, and between two states of the one line on a terminal. */
const LOG_MS = 10_000;
const TERMINAL_MS = 250;

/** Writes how far a copy is: one line that changes on a terminal, else a line from time to time. */
export class CopyProgressLine {
  readonly #stream: { write(text: string): unknown; isTTY?: boolean };
  readonly #now: () => number;
  #last: number;
  #isShown = false;

  constructor(
    stream: { write(text: string): unknown; isTTY?: boolean },
    now: () => number = () => performance.now(),
  ) {
    this.#stream = stream;
    this.#now = now;
    this.#last = now();
  }

  show({ phase, table, rows, total }: CopyReport): void {
    const isTerminal = this.#stream.isTTY === true;
    if (this.#now() - this.#last < (isTerminal ? TERMINAL_MS : LOG_MS)) return;
    this.#last = this.#now();
    const of = total === null ? '' : ` of ${NUMBER.format(Math.max(rows, total))}`;
    const text = `${phase} ${table}: ${NUMBER.format(rows)}${of} rows`;
    this.#stream.write(isTerminal ? `\r\x1b[K${text}` : `${text}\n`);
    this.#isShown = isTerminal;
  }

  /** Removes the line from a terminal. */
  end(): void {
    if (this.#isShown) this.#stream.write('\r\x1b[K');
    this.#isShown = false;
  }
}

/** Returns a table of what two stores have, with both values where they differ. Empty tables are one line. */
export function comparisonTable(compared: readonly Comparison[]): string {
  const shown = compared.filter(({ one, isSame }) => one.rows > 0 || !isSame);
  const rows = shown.map(({ schema, one, other, isSame }) => [
    `${schema} ${one.table}`,
    both(one.rows, other.rows),
    both(one.sum, other.sum),
    isSame ? one.checksum.slice(0, 16) : `${one.checksum.slice(0, 8)} ≠ ${other.checksum.slice(0, 8)}`,
    isSame ? 'equal' : 'DIFFERENT',
  ]);
  const table = [['TABLE', 'ROWS', 'SUM', 'CHECKSUM', ''], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)));
  const lines = table.map((cells) =>
    cells
      .map((cell, column) =>
        column === 1 || column === 2 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd(),
  );
  const empty = compared.length - shown.length;
  if (empty > 0) lines.push(`${empty} more tables are empty in both.`);
  return lines.map((line) => `${visibleText(line)}\n`).join('');
}

function both(one: number | null, other: number | null): string {
  if (one === null || other === null) return '';
  return one === other ? NUMBER.format(one) : `${NUMBER.format(one)} ≠ ${NUMBER.format(other)}`;
}
