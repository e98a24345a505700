/** Who runs a command, for the audit log: `command:root`. */
import { userInfo } from 'node:os';

export function commandActor(): string {
  try {
    return `command:${userInfo().username}`;
  } catch {
    // A user id without a name, as in many containers: the number says who.
    return `command:${process.getuid?.() ?? 'unknown'}`;
  }
}
