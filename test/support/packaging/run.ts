/** Programs that look at packages. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { pcap } from '../agent/capture/capture_files.ts';
import { ipv4, tcp } from '../agent/decode/frames.ts';

const execFileAsync = promisify(execFile);
const OUTPUT_MAX_BYTES = 64e6;
const TIMEOUT_MS = 240_000;

/** Resolves to standard output; rejects with what the program said where it fails. */
export async function run(program: string, args: readonly string[], env = process.env): Promise<string> {
  const { stdout } = await execFileAsync(program, args, {
    maxBuffer: OUTPUT_MAX_BYTES,
    timeout: TIMEOUT_MS,
    env,
  });
  return stdout;
}

/** A capture file with one IMDSv1 read in it. */
export function captureOfOneRead(): Buffer {
  const request = Buffer.from('GET /latest/meta-data/instance-id HTTP/1.1\r\nHost: imds\r\n\r\n');
  const answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ni-01');
  const imds = [169, 254, 169, 254];
  const host = [10, 0, 0, 7];
  const sent = (parts: Parameters<typeof tcp>[0]) => ipv4(tcp(parts), { source: host, destination: imds });
  const came = (parts: Parameters<typeof tcp>[0]) =>
    ipv4(tcp({ sourcePort: 80, destinationPort: 40_000, ...parts }), { source: imds, destination: host });
  return pcap(
    [
      sent({ seq: 1, flags: 0x02 }),
      came({ seq: 1, ack: 2, flags: 0x12 }),
      sent({ seq: 2, ack: 2 }),
      sent({ seq: 2, ack: 2, flags: 0x18, payload: request }),
      came({ seq: 2, ack: 2 + request.length, flags: 0x18, payload: answer }),
      sent({ seq: 2 + request.length, ack: 2 + answer.length }),
    ].map((data, index) => ({ data, timeUs: 1e12 + index * 1000 })),
  );
}
