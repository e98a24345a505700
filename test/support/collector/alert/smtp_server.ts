/**
 * A small SMTP server on loopback that receives messages (RFC 5321, STARTTLS of RFC 3207, AUTH PLAIN of RFC
 * 4954).
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

export interface Mail {
  from: string;
  to: string[];
  secured: boolean;
  /** The message without dot stuffing. */
  data: string;
}

export interface SmtpOptions {
  certificate: { key: string; cert: string };
  /** With false, the server does not offer STARTTLS. */
  startTls?: boolean;
  /** Account of the client. With null, the server offers no sign-in. */
  account?: { username: string; password: string } | null;
  /** Returns the answer to a message. */
  verdict?: (number: number) => string;
}

export async function smtpServer({ certificate, startTls = true, account = null, verdict }: SmtpOptions) {
  const mails: Mail[] = [];
  const commands: string[] = [];
  const sockets = new Set<Socket>();
  let messages = 0;

  const serve = (socket: Socket, secured: boolean) => {
    let waiting = '';
    let mail: Mail = { from: '', to: [], secured, data: '' };
    let inData = false;
    let signedIn = account === null;
    const say = (line: string) => socket.write(`${line}\r\n`);

    const command = (line: string) => {
      commands.push(line.replace(/^(AUTH PLAIN) .*/i, '$1 …'));
      const verb = line.split(' ', 1)[0]!.toUpperCase();
      if (verb === 'EHLO') {
        const extensions = [
          ...(startTls && !secured ? ['STARTTLS'] : []),
          ...(account ? ['AUTH PLAIN'] : []),
        ];
        const lines = ['localhost', ...extensions, '8BITMIME'];
        for (const [index, text] of lines.entries())
          say(`250${index === lines.length - 1 ? ' ' : '-'}${text}`);
      } else if (verb === 'STARTTLS' && !startTls) {
        say('502 not here');
      } else if (verb === 'STARTTLS') {
        say('220 go ahead');
        socket.removeAllListeners('data');
        const above = new TLSSocket(socket, { isServer: true, ...certificate });
        above.on('error', () => undefined);
        serve(above, true);
      } else if (verb === 'AUTH') {
        const expected = Buffer.from(`\0${account?.username}\0${account?.password}`).toString('base64');
        signedIn = line === `AUTH PLAIN ${expected}`;
        say(signedIn ? '235 welcome' : `535 not you: ${line}`);
      } else if (verb === 'MAIL') {
        if (!signedIn) return say('530 sign in first');
        mail = { from: line.slice(line.indexOf('<') + 1, line.indexOf('>')), to: [], secured, data: '' };
        say('250 ok');
      } else if (verb === 'RCPT') {
        mail.to.push(line.slice(line.indexOf('<') + 1, line.indexOf('>')));
        say('250 ok');
      } else if (verb === 'DATA') {
        inData = true;
        say('354 go on');
      } else if (verb === 'QUIT') {
        say('221 bye');
        socket.end();
      } else say('500 what?');
    };

    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      waiting += chunk.toString('utf8');
      for (;;) {
        const end = waiting.indexOf('\r\n');
        if (end === -1) return;
        const line = waiting.slice(0, end);
        waiting = waiting.slice(end + 2);
        if (!inData) {
          command(line);
        } else if (line === '.') {
          inData = false;
          const answer = verdict?.(++messages) ?? '250 taken';
          if (answer.startsWith('2')) mails.push(mail);
          say(answer);
        } else {
          mail.data += `${line.startsWith('.') ? line.slice(1) : line}\r\n`;
        }
      }
    });
    if (!secured) say('220 localhost ready');
  };

  const server = createServer((socket) => {
    sockets.add(socket);
    serve(socket, false);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    mails,
    commands,
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
