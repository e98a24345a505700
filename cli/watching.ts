/** What `imdswatch watch` becomes: settings as JSON in the first argument, calls on stdout until a signal. */
import { LiveWatch } from '../agent/live_watch.ts';
import { CallPrinter, lossLine } from './call_output.ts';
import { untilSignal } from './end.ts';
import { exitWith } from './exit.ts';
import type { WatchSettings } from './watch.ts';

async function watchUntilSignal(settings: WatchSettings): Promise<number> {
  const ended = untilSignal();
  const printer = new CallPrinter(settings);
  const say = (message: string) => process.stderr.write(`imdswatch: ${message}\n`);
  const watch = new LiveWatch(settings, { debug: () => {}, info: say, warn: say }, (call) =>
    printer.print(call),
  );
  watch.start();
  if (!settings.json) {
    const how = watch.attribution.method === 'ebpf' ? 'eBPF (exact)' : 'sock_diag and /proc';
    process.stderr.write(
      `Watching ${watch.sourceName} of ${watch.host.name}; callers by ${how}. Ctrl-C ends.\n`,
    );
  }
  await Promise.race([ended, printer.broken]);
  watch.stop();
  if (!settings.json) process.stderr.write(`\n${printer.summary()}\n`);
  const losses = lossLine(watch.losses());
  if (losses !== '') say(losses);
  return 0;
}

if (import.meta.main)
  await exitWith(() => watchUntilSignal(JSON.parse(process.argv[2] ?? '{}') as WatchSettings));
