/**
 * Sends alerts by syslog: RFC 5424 over UDP (RFC 5426), TCP with octet counting (RFC 6587 section 3.4.1) or
 * TLS (RFC 5425).
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIP, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { bareHost } from '../../../common/host_address.ts';
import type { Alert } from '../../contract/alert.ts';
import type { DestinationConfig } from '../../contract/destination.ts';
import { allowedAddresses, connectTo, raceSignal } from '../guarded_connect.ts';
import { Channel, type ChannelContext } from './channel.ts';

type SyslogConfig = Extract<DestinationConfig, { kind: 'syslog' }>;

/** Length that every receiver should accept (RFC 5426 section 3.2). Longer messages are cut. */
const MAX_DATAGRAM_BYTES = 2048;
/** Length that every receiver should accept (RFC 5425 section 4.3.1). */
const MAX_FRAME_BYTES = 8192;
/** Time for an ICMP "port unreachable" to arrive from this network. */
const REFUSAL_WAIT_MS = 200;
/** Time for a receiver to close its side of the connection. */
const CLOSE_WAIT_MS = 2000;
const SEVERITY: Record<Alert['severity'], number> = { critical: 2, warning: 4, info: 6 };
/** The enterprise number for documentation (RFC 5612), because imdswatch has none of its own. */
const SD_ID = 'imdswatch@32473';

export class SyslogSender extends Channel<SyslogConfig> {
  readonly secrets = [];

  protected sendOne(alert: Alert, context: ChannelContext): Promise<void> {
    return sendSyslog(this.config, alert, context);
  }
}

async function sendSyslog(config: SyslogConfig, alert: Alert, context: ChannelContext): Promise<void> {
  const sender = { facility: config.facility, hostname: hostname(), processId: String(process.pid) };
  if (config.transport === 'udp') {
    await sendDatagram(config, syslogMessage(alert, sender, MAX_DATAGRAM_BYTES), context);
    return;
  }
  const message = syslogMessage(alert, sender, MAX_FRAME_BYTES);
  const frame = Buffer.concat([Buffer.from(`${message.length} `), message]);
  const plain = await connectTo(config.host, config.port, context);
  if (config.transport === 'tcp') {
    await deliver(plain, frame);
    return;
  }
  const host = bareHost(config.host);
  const secured = connectTls({ socket: plain, host, ...(isIP(host) === 0 ? { servername: host } : {}) });
  // The end of an attempt destroys the plain socket, which does not inform the TLS socket above it.
  plain.once('error', (error) => secured.destroy(error));
  // `once` reports the first error. The end of an attempt can cause a second one, from the socket below.
  secured.on('error', () => secured.destroy());
  await once(secured, 'secureConnect');
  await deliver(secured, frame);
}

/**
 * Returns one message of at most `maxBytes`. `hostname` and `processId` are converted to printable ASCII (RFC
 * 5424 section 6). The text is UTF-8 with a byte order mark, on one line.
 */
export function syslogMessage(
  alert: Alert,
  { facility, hostname, processId }: { facility: number; hostname: string; processId: string },
  maxBytes: number,
): Buffer {
  const { id, rule, subject, dedup_key, state, severity, time, title, text, link, object } = alert;
  const facts = { id, rule, subject, dedup_key, state, severity };
  const { name = null, account = null, region = null } = object ?? {};
  const parameters = Object.entries({ ...facts, name, account, region, link })
    .flatMap(([key, value]) => (value === null ? [] : [[key, value] as const]))
    .map(([name, value]) => ` ${name}="${oneLine(value).replace(/["\\\]]/g, '\\$&')}"`)
    .join('');
  const header = [
    `<${facility * 8 + (state === 'resolved' ? SEVERITY.info : SEVERITY[severity])}>1`,
    time,
    printable(hostname, 255),
    'imdswatch',
    printable(processId, 128),
    printable(rule, 32),
    `[${SD_ID}${parameters}]`,
  ].join(' ');
  const message = Buffer.from(`${header} \uFEFF${oneLine(`${title}: ${text}`)}`);
  return message.length <= maxBytes ? message : message.subarray(0, characterBoundary(message, maxBytes));
}

async function sendDatagram(
  { host, port }: SyslogConfig,
  message: Buffer,
  { resolve, signal }: ChannelContext,
) {
  const [to] = await raceSignal(signal, allowedAddresses(host, resolve));
  const socket = createSocket(to!.family === 6 ? 'udp6' : 'udp4');
  try {
    const failed = once(socket, 'error').then(([error]) => Promise.reject(error));
    failed.catch(() => undefined); // It is raced below, and may also come before.
    const connected = once(socket, 'connect');
    socket.connect(port, to!.address);
    await raceSignal(signal, Promise.race([connected, failed]));
    const sent = Promise.withResolvers<void>();
    socket.send(message, (error) => (error === null ? sent.resolve() : sent.reject(error)));
    await raceSignal(signal, sent.promise);
    // Datagrams are not confirmed, but some networks report that no receiver listens.
    await Promise.race([delay(REFUSAL_WAIT_MS), failed]);
  } finally {
    socket.close();
  }
}

/**
 * Delivers over a stream, which has no acknowledgement either: all bytes are written and the receiver closes
 * without an error.
 */
async function deliver(socket: Socket, frame: Buffer): Promise<void> {
  const { promise: failed, reject } = Promise.withResolvers<never>();
  socket.on('error', reject);
  failed.catch(() => undefined); // It is raced below, and may also come after.
  try {
    const flushed = once(socket, 'finish');
    const closed = once(socket, 'close');
    socket.resume();
    socket.end(frame);
    await Promise.race([flushed, failed]);
    const waiting = new AbortController();
    await Promise.race([closed, failed, delay(CLOSE_WAIT_MS, undefined, { signal: waiting.signal })]);
    waiting.abort();
  } finally {
    socket.destroy();
  }
}

function printable(text: string, most: number): string {
  return text.replace(/[^\x21-\x7e]/g, '_').slice(0, most) || '-';
}

function oneLine(text: string): string {
  return text
    .replace(/[\s\x00-\x1f\x7f\x80-\x9f\u2028\u2029]+/g, ' ')
    .trim()
    .toWellFormed();
}

/** Returns the last position at or before `at` that is not inside the UTF-8 bytes of a character. */
function characterBoundary(bytes: Buffer, at: number): number {
  let end = at;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return end;
}
