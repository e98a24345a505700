/** Email by SMTP, plain text. STARTTLS is demanded where it is set: without it nothing is sent, the password least of all. */
import type { Alert, DestinationConfig } from '../../contract/administration.ts';
import { connectTo } from '../guarded_connect.ts';
import { SEND_TIMEOUT_MS, type Send } from './channel.ts';

type EmailConfig = Extract<DestinationConfig, { kind: 'email' }>;

export const sendEmail: Send<EmailConfig> = async (config, alert, context) => {
  const host = config.host.replace(/^\[|\]$/g, '');
  // Loaded only here: it takes 24 MB and 160 ms, and most collectors send no email.
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
  // A server that trickles its answers never runs into the timeouts above.
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
};

/** `Message-ID` is the alert's, the same at every attempt: mail systems know a repetition by it (RFC 5322 section 3.6.4). */
export function emailMessage({ from, to }: Pick<EmailConfig, 'from' | 'to'>, alert: Alert) {
  const domain = from.slice(from.lastIndexOf('@') + 1);
  return {
    from: { name: 'imdswatch', address: from },
    to: to.map((address) => ({ name: '', address })),
    // One line: what a host or a program is called must not become a header of its own.
    subject: `[imdswatch] ${alert.title.replace(/[\s\x00-\x1f\x7f]+/g, ' ')}`,
    messageId: `<${alert.id}@${domain}>`,
    date: new Date(alert.time),
    // RFC 3834 section 5: nobody's out-of-office message should answer it.
    headers: { 'Auto-Submitted': 'auto-generated', 'X-Imdswatch-Rule': alert.rule },
    text: `${alert.title}\n\n${alert.text}\n\n${alert.link === null ? '' : `${alert.link}\n\n`}Severity: ${alert.severity}\nRule: ${alert.rule}\nTime: ${alert.time}\n`,
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}
