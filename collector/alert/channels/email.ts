/**
 * Sends alerts as plain text e-mail by SMTP. With `starttls`, a server without TLS gets neither the alert nor
 * the password.
 */
import { bareHost } from '../../../common/host_address.ts';
import type { Alert } from '../../contract/alert.ts';
import type { DestinationConfig } from '../../contract/destination.ts';
import { connectTo } from '../guarded_connect.ts';
import { Channel, type ChannelContext, SEND_TIMEOUT_MS } from './channel.ts';

type EmailConfig = Extract<DestinationConfig, { kind: 'email' }>;

export class EmailSender extends Channel<EmailConfig> {
  get secrets(): string[] {
    const { username, password } = this.config;
    if (password === null) return [];
    const plain = Buffer.from(`\0${username ?? ''}\0${password}`).toString('base64');
    return [plain, Buffer.from(password).toString('base64'), password];
  }

  protected sendOne(alert: Alert, context: ChannelContext): Promise<void> {
    return sendEmail(this.config, alert, context);
  }
}

async function sendEmail(config: EmailConfig, alert: Alert, context: ChannelContext): Promise<void> {
  const host = bareHost(config.host);
  // It is loaded only here, because it takes 24 MB and 160 ms, and most collectors send no e-mail.
  const { createTransport } = await import('nodemailer');
  const socket = await connectTo(host, config.port, context);
  const transport = createTransport({
    host,
    port: config.port,
    connection: socket,
    secure: config.security === 'tls',
    requireTLS: config.security === 'starttls',
    ignoreTLS: config.security === 'none',
    ...(config.username === null ? {} : { auth: { user: config.username, pass: config.password ?? '' } }),
    greetingTimeout: SEND_TIMEOUT_MS,
    socketTimeout: SEND_TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  // A server that sends its answers very slowly never reaches the timeouts above.
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const abort = () => reject(context.signal.reason);
  context.signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([transport.sendMail(emailMessage(config, alert)), ended]);
  } finally {
    context.signal.removeEventListener('abort', abort);
    transport.close();
    socket.destroy();
  }
}

/**
 * Uses the alert's id as `Message-ID` at every attempt, by which mail systems recognise a repetition (RFC
 * 5322 section 3.6.4).
 */
export function emailMessage({ from, to }: Pick<EmailConfig, 'from' | 'to'>, alert: Alert) {
  const domain = from.slice(from.lastIndexOf('@') + 1);
  return {
    from: { name: 'imdswatch', address: from },
    to: to.map((address) => ({ name: '', address })),
    // The subject is one line, so that the name of a host or a program cannot add a header.
    subject: `[imdswatch] ${alert.state === 'resolved' ? 'Resolved: ' : ''}${alert.title.replace(/[\s\x00-\x1f\x7f]+/g, ' ')}`,
    messageId: `<${alert.id}@${domain}>`,
    date: new Date(alert.time),
    // This header keeps out-of-office messages from answering (RFC 3834 section 5).
    headers: { 'Auto-Submitted': 'auto-generated', 'X-Imdswatch-Rule': alert.rule },
    text: `${alert.title}\n\n${alert.text}\n\n${alert.link === null ? '' : `${alert.link}\n\n`}State: ${alert.state}\nSeverity: ${alert.severity}\nRule: ${alert.rule}\nTime: ${alert.time}\n`,
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}
