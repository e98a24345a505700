/**
 * The process of `imdswatch watch`: it gets its settings as JSON in argument 1 and prints calls until a
 * signal.
 */
import { LiveWatch, type WatchMoment } from '../agent/live_watch.ts';
import type { WatchSettings } from './commands/watch.ts';
import { exitWith } from './exit.ts';
import { untilSignal } from './signals.ts';
import { CallPrinter, lossLine } from './terminal/call_output.ts';
import { LiveOutput } from './terminal/line_output.ts';
import { visibleText } from './terminal/visible_text.ts';
import { becomeWatchProcess } from './watch_start.ts';

const METHODS = {
  ebpf: 'eBPF (exact)',
  tracepoint: 'eBPF on a tracepoint (exact)',
  sock_diag: 'sock_diag and /proc',
};

async function watchUntilSignal(settings: WatchSettings): Promise<number> {
  const signal = untilSignal();
  const output = new LiveOutput();
  const printer = new CallPrinter(settings, output);
  const printMessage = (message: string) => process.stderr.write(`imdswatch: ${visibleText(message)}\n`);
  const log = { debug: () => {}, info: printMessage, warn: printMessage };
  const watch = new LiveWatch(settings, log, (call) => printer.print(call), {
    onFallback: () => becomeWatchProcess({ ...settings, attribution: 'proc' }),
  });
  watch.start();
  if (!settings.json) {
    const method = METHODS[watch.attribution.way];
    process.stderr.write(
      `Watching ${visibleText(`${watch.sourceName} of ${watch.host.name}`)}; callers are found by ${method}. Press Ctrl-C to stop.\n`,
    );
  }
  let end: WatchMoment | undefined;
  try {
    await Promise.race([signal, output.gone]);
    end = watch.moment();
    await watch.caughtUp(); // the kernel may have collected packets
  } finally {
    watch.stop(end);
  }
  if (!settings.json) process.stderr.write(`\n${printer.summary()}\n`);
  const unreadBytes = await output.end();
  const losses = lossLine({
    ...watch.losses(),
    ...(output.dropped > 0 && { 'output.dropped': output.dropped }),
    ...(unreadBytes > 0 && { 'output.unread_bytes': unreadBytes }),
  });
  if (losses !== '') printMessage(losses);
  // Output that nobody reads would keep the process alive.
  if (unreadBytes > 0) process.exit(0);
  return 0;
}

if (import.meta.main)
  await exitWith(() => watchUntilSignal(JSON.parse(process.argv[2] ?? '{}') as WatchSettings));
