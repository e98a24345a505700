/** Describes what `imdswatch watch` becomes: settings as JSON in the first argument, calls on stdout until a signal. */
import { LiveWatch } from '../agent/live_watch.ts';
import type { WatchSettings } from './commands/watch.ts';
import { exitWith } from './exit.ts';
import { untilSignal } from './signals.ts';
import { CallPrinter, lossLine } from './terminal/call_output.ts';
import { LiveOutput } from './terminal/line_output.ts';
import { visibleText } from './terminal/visible_text.ts';

async function watchUntilSignal(settings: WatchSettings): Promise<number> {
  const ended = untilSignal();
  const output = new LiveOutput();
  const printer = new CallPrinter(settings, output);
  const say = (message: string) => process.stderr.write(`imdswatch: ${visibleText(message)}\n`);
  const watch = new LiveWatch(settings, { debug: () => {}, info: say, warn: say }, (call) =>
    printer.print(call),
  );
  watch.start();
  if (!settings.json) {
    const how = watch.attribution.method === 'ebpf' ? 'eBPF (exact)' : 'sock_diag and /proc';
    process.stderr.write(
      `Watching ${visibleText(`${watch.sourceName} of ${watch.host.name}`)}; callers by ${how}. Ctrl-C ends.\n`,
    );
  }
  try {
    await Promise.race([ended, output.gone]);
  } finally {
    watch.stop();
  }
  if (!settings.json) process.stderr.write(`\n${printer.summary()}\n`);
  const unreadBytes = await output.end();
  const losses = lossLine({
    ...watch.losses(),
    ...(output.dropped > 0 && { 'output.dropped': output.dropped }),
    ...(unreadBytes > 0 && { 'output.unread_bytes': unreadBytes }),
  });
  if (losses !== '') say(losses);
  // Output that nobody reads would keep the process for ever.
  if (unreadBytes > 0) process.exit(0);
  return 0;
}

if (import.meta.main)
  await exitWith(() => watchUntilSignal(JSON.parse(process.argv[2] ?? '{}') as WatchSettings));
