/** Syslog receivers on loopback, and a strict parser of RFC 5424 section 6. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

export interface SyslogMessage {
  facility: number;
  severity: number;
  time: string;
  hostname: string;
  app: string;
  processId: string;
  messageId: string;
  data: Record<string, Record<string, string>>;
  message: string;
}

const HEADER =
  /^<(0|[1-9]\d{0,2})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) ([\x21-\x7e]{1,255}) ([\x21-\x7e]{1,48}) ([\x21-\x7e]{1,128}) ([\x21-\x7e]{1,32}) /;

export function parseSyslog(bytes: Buffer): SyslogMessage {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  const header = HEADER.exec(text);
  if (header === null) throw new Error(`no RFC 5424 header: ${JSON.stringify(text.slice(0, 80))}`);
  const [all, priority, time, hostname, app, processId, messageId] = header as unknown as string[];
  if (Number(priority) > 191) throw new Error(`PRI ${priority}`);
  const { data, end } = parseData(text, all!.length);
  const rest = text.slice(end);
  if (rest !== '' && !rest.startsWith(' \uFEFF')) throw new Error('MSG is UTF-8 and has no byte order mark');
  return {
    facility: Math.trunc(Number(priority) / 8),
    severity: Number(priority) % 8,
    time: time!,
    hostname: hostname!,
    app: app!,
    processId: processId!,
    messageId: messageId!,
    data,
    message: rest.slice(2),
  };
}

function parseData(text: string, start: number): { data: SyslogMessage['data']; end: number } {
  const data: SyslogMessage['data'] = {};
  if (text[start] === '-') return { data, end: start + 1 };
  let at = start;
  while (text[at] === '[') {
    const id = /^\[([^\s="\]]{1,32})/.exec(text.slice(at));
    if (id === null) throw new Error('SD-ID');
    at += id[0].length;
    const parameters: Record<string, string> = {};
    while (text[at] === ' ') {
      const parameter = /^ ([^\s="\]]{1,32})="((?:[^"\\\]]|\\["\\\]])*)"/.exec(text.slice(at));
      if (parameter === null) throw new Error(`SD-PARAM at ${text.slice(at, at + 40)}`);
      parameters[parameter[1]!] = parameter[2]!.replace(/\\(["\\\]])/g, '$1');
      at += parameter[0].length;
    }
    if (text[at] !== ']') throw new Error('SD-ELEMENT has no end');
    at++;
    data[id[1]!] = parameters;
  }
  if (at === start) throw new Error('STRUCTURED-DATA');
  return { data, end: at };
}

export async function udpReceiver() {
  const socket = createSocket('udp4');
  const received: SyslogMessage[] = [];
  socket.on('message', (bytes) => received.push(parseSyslog(bytes)));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { received, port: socket.address().port, close: async () => void socket.close() };
}

/** Receives over TCP, or TLS with a certificate. Frames use octet counting (RFC 6587 section 3.4.1). */
export async function streamReceiver(certificate: { key: string; cert: string } | null) {
  const received: SyslogMessage[] = [];
  const faults: string[] = [];
  const sockets = new Set<Socket>();
  const accept = (socket: Socket) => {
    sockets.add(socket);
    let waiting = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      waiting = Buffer.concat([waiting, chunk]);
      for (;;) {
        const length = /^([1-9]\d{0,6}) /.exec(waiting.subarray(0, 8).toString('latin1'));
        if (length === null) {
          if (waiting.length >= 8) faults.push('a frame without its length');
          return;
        }
        const from = length[0].length;
        const to = from + Number(length[1]);
        if (waiting.length < to) return;
        received.push(parseSyslog(waiting.subarray(from, to)));
        waiting = waiting.subarray(to);
      }
    });
    socket.on('end', () => {
      if (waiting.length > 0) faults.push('a frame that is cut off');
    });
  };
  const server: Server = certificate === null ? createServer(accept) : createTlsServer(certificate, accept);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    received,
    faults,
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
