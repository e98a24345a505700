/** Opens the sender of a destination by its kind. */
import type { DestinationConfig } from '../contract/destination.ts';
import { EmailSender } from './channels/email.ts';
import { SyslogSender } from './channels/syslog.ts';
import type { Resolve } from './guarded_connect.ts';
import { HttpSender } from './http/http_sender.ts';
import type { Sender } from './sender.ts';

/** Throws `OperatorError` where the configuration is wrong. `now`: milliseconds since 1970. */
export async function openSender(
  config: DestinationConfig,
  resolve: Resolve,
  now: () => number,
): Promise<Sender> {
  switch (config.kind) {
    case 'http':
      return HttpSender.open(config, resolve, now);
    case 'syslog':
      return new SyslogSender(config, resolve);
    case 'email':
      return new EmailSender(config, resolve);
  }
}
