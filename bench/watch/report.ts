/** Formats the figures as a table for people. */
import type { Judgement } from './judge.ts';
import type { ModeResult } from './measures.ts';

/** The measure, its target, and one cell for each method of attribution. */
export type Row = [string, string, ...string[]];

const HEADINGS = { ebpf: 'eBPF', tracepoint: 'tracepoint', proc: '/proc' };

export function tableOf(results: readonly ModeResult[]): string {
  return layOut(rowsOf(results));
}

/** Returns the table of several rounds: each cell has the values of all rounds, in their order. */
export function tableOfRounds(rounds: readonly (readonly ModeResult[])[]): string {
  const [first, ...others] = rounds.map(rowsOf);
  const rows = first!.map((row, at): Row => {
    const cells = row.slice(2).map((cell, column) => {
      const all = [cell, ...others.map((each) => each[at]![column + 2]!)];
      return all.every((text) => text === cell) ? cell : all.join(', ');
    });
    return [row[0], row[1], ...cells];
  });
  return layOut(rows);
}

function rowsOf(results: readonly ModeResult[]): Row[] {
  const rows: Row[] = [['', 'target', ...results.map(({ mode }) => HEADINGS[mode])]];
  const add = (what: string, target: string, cell: (result: ModeResult) => string | null | undefined) => {
    const cells = results.map((result) => cell(result) ?? '–');
    if (cells.some((text) => text !== '–')) rows.push([what, target, ...cells]);
  };
  const judged = (what: string, target: string, of: (result: ModeResult) => Judgement | undefined) => {
    const cell = (show: (judgement: Judgement) => string) => (result: ModeResult) => {
      const judgement = of(result);
      return judgement === undefined ? null : show(judgement);
    };
    add(
      `${what}: attributed right`,
      target,
      cell(({ attributed, calls }) => `${attributed}/${calls} (${percent(attributed / calls)})`),
    );
    add(
      '  of them with the right executable',
      '',
      cell(({ with_executable, calls }) => `${with_executable} (${percent(with_executable / calls)})`),
    );
    add(
      '  unnamed / wrong / incomplete',
      'eBPF: 0 / 0 / 0',
      cell((each) => `${each.unattributed} / ${each.wrongly_attributed} / ${each.incomplete}`),
    );
    add(
      '  lost / surplus / misjudged',
      '0 / 0 / 0',
      cell((each) => `${each.lost} / ${each.surplus} / ${each.misjudged}`),
    );
  };
  judged('curl, one after another', '100 %, /proc 99 %', (result) => result.one_shot?.curl_sequential);
  judged('curl, all at once', '100 %, /proc 99 %', (result) => result.one_shot?.curl_at_once);
  judged('C, does not wait for its answer', '100 %, /proc 95 %', (result) => result.one_shot?.static_c);
  add('CPU a call, all below together', '', ({ cost }) => cost && us(cost.cpu_us_per_call));
  add(
    '  one connection a call',
    'eBPF ≤ 100 µs',
    ({ cost }) => cost && us(cost.one_connection.cpu_us_per_call),
  );
  add('  ten calls a connection', 'eBPF ≤ 40 µs', ({ cost }) => cost && us(cost.kept_alive.cpu_us_per_call));
  add('  a new process a call', 'eBPF ≤ 200 µs', ({ cost }) => cost && us(cost.new_process.cpu_us_per_call));
  add('waits a call, 50 new processes a second', 'eBPF < 1', ({ cost }) =>
    cost?.paced.waits_per_call.toFixed(2),
  );
  add('  from answer to line, median / longest', '< 100 ms', ({ cost }) =>
    cost
      ? `${cost.paced.latency_ms_median.toFixed(0)} / ${cost.paced.latency_ms_longest.toFixed(0)} ms`
      : null,
  );
  add('CPU a curl', '', ({ one_shot }) => one_shot && us(one_shot.curl_sequential.cpu_us_per_call));
  add('calls lost in measuring that', '0', ({ cost }) => {
    const parts = cost && [cost.one_connection, cost.kept_alive, cost.new_process];
    return parts ? `${parts.reduce((sum, part) => sum + part.lost, 0)}/${cost.calls}` : null;
  });
  add('resident at the start', 'eBPF ≤ 64 MB', (result) => mb(result.resident_start_kib));
  add('resident after the callers', 'eBPF ≤ 75, /proc ≤ 100', ({ memory }) =>
    memory ? `${mb(memory.resident_kib)} (${memory.calls})` : null,
  );
  add('  lost of these', '0', ({ memory }) => (memory ? `${memory.lost}` : null));
  add(
    'resident after the calls of the cost',
    'eBPF ≤ 75, /proc ≤ 100',
    ({ cost }) => cost && mb(cost.resident_kib),
  );
  add('  highest', '', ({ cost }) => cost && mb(cost.resident_peak_kib));
  add('CPU when idle, a minute', 'not measurable', ({ idle_cpu_ms_per_minute: ms }) =>
    ms === undefined ? null : `${ms.toFixed(1)} ms`,
  );
  for (const kind of ['one_connection', 'kept_alive'] as const) {
    const load = kind === 'one_connection' ? 'one call' : 'a hundred calls';
    add(`service's ceiling, ${load} a connection: lost`, '0', ({ ceiling }) => {
      const each = ceiling?.[kind];
      return each ? `${each.lost}/${each.calls}` : null;
    });
    add('  packets a second sent / captured', '1,024 sent', ({ ceiling }) => {
      const each = ceiling?.[kind];
      return each
        ? `${each.packets_sent_per_second.toFixed(0)} / ${each.packets_captured_per_second.toFixed(0)}`
        : null;
    });
    add('  calls a second, CPU of one core', '', ({ ceiling }) => {
      const each = ceiling?.[kind];
      return each ? `${each.calls_per_second.toFixed(0)}, ${each.cpu_percent.toFixed(1)} %` : null;
    });
  }
  return rows;
}

export function layOut(rows: readonly Row[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    row
      .map((text, column) => text.padEnd(widths[column]!))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '─'.repeat(width)).join('  ');
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join('\n');
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function us(microseconds: number): string {
  return `${microseconds.toFixed(0)} µs`;
}

/** Unit of the targets: 1 MB is 1,000,000 bytes. */
function mb(kib: number): string {
  return `${((kib * 1_024) / 1_000_000).toFixed(1)} MB`;
}
