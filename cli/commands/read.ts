/**
 * `imdswatch read FILE` prints the calls in a capture file. The file does not say which process made them.
 */
import * as z from 'zod';
import { FileSource } from '../../agent/capture/file_source.ts';
import { PacketClock } from '../../agent/capture/packet_clock.ts';
import { lookSettings } from '../../agent/config.ts';
import { hostFacts } from '../../agent/host/host_facts.ts';
import { Pipeline } from '../../agent/pipeline.ts';
import { lossesOf } from '../../protocol/losses.ts';
import { callOutputShape } from '../settings/call_output_settings.ts';
import { loadSettings } from '../settings/settings.ts';
import { CallPrinter, lossLine } from '../terminal/call_output.ts';
import { ReaderGone, WaitingOutput } from '../terminal/line_output.ts';

const readSettings = z.object({
  ...callOutputShape,
  endpoints: lookSettings.shape.endpoints,
  host_id: z.string().min(1).optional().describe('Id of the captured host. Default: the id of this host.'),
  host_name: z
    .string()
    .min(1)
    .optional()
    .describe('Name of the captured host. Default: the name of this host.'),
});

export async function run(argv: string[]): Promise<number> {
  const { settings, positionals } = loadSettings(readSettings, {
    command: 'read',
    summary: 'Shows the metadata calls in a capture file (pcap or pcapng).',
    argv,
    env: process.env,
    positionals: ['FILE'],
  });
  const printer = new CallPrinter(settings, new WaitingOutput());
  const file = new FileSource(positionals[0]!);
  const pipeline: Pipeline = new Pipeline({
    source: new PacketClock(file, (nowUs) => pipeline.tick(nowUs)),
    endpoints: settings.endpoints,
    attribution: null,
    host: hostFacts(settings),
    onCall: (call) => printer.print(call),
  });
  try {
    pipeline.start();
    pipeline.stop();
  } catch (error) {
    if (error instanceof ReaderGone) return 0;
    throw error;
  }
  if (!settings.json) process.stderr.write(`${printer.summary()}\n`);
  const losses = lossLine(lossesOf(pipeline.counters()));
  if (losses !== '') process.stderr.write(`imdswatch: ${losses}\n`);
  return 0;
}
