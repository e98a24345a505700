/** `imdswatch watch`: the metadata calls of this host as they happen; no collector, nothing stored. */
import * as z from 'zod';
import { lookSettings } from '../agent/config.ts';
import { LiveWatch } from '../agent/live_watch.ts';
import { CallPrinter, callOutputShape, lossLine } from './call_output.ts';
import { untilSignal } from './end.ts';
import { loadSettings } from './settings.ts';

const watchSettings = z.object({ ...callOutputShape, ...lookSettings.shape });

export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(watchSettings, {
    command: 'watch',
    summary: 'Shows the metadata calls of this host as they happen.',
    argv,
    env: process.env,
    short: { i: 'interface' },
  });
  const ended = untilSignal();
  const printer = new CallPrinter(settings);
  const say = (message: string) => process.stderr.write(`imdswatch: ${message}\n`);
  const log = { debug: () => {}, info: say, warn: say };
  const watch = new LiveWatch(settings, log as never, (call) => printer.print(call));
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
