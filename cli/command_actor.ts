/** Who runs a command, for the audit log: `command:root`. */
import { userInfo } from 'node:os';
import { COMMAND_PREFIX } from '../collector/access/principal.ts';

export function commandActor(): string {
  try {
    return `${COMMAND_PREFIX}${userInfo().username}`;
  } catch {
    // A user id without a name, as in many containers: the number says who.
    return `${COMMAND_PREFIX}${process.getuid?.() ?? 'unknown'}`;
  }
}
