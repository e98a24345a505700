/** The user that servers of databases run as where the tests run as root: they refuse root. */
import { chownSync, readFileSync } from 'node:fs';

/** Gives a directory to the user that servers run as where the tests run as root. Returns that user; else null. */
export function ownDirectory(directory: string): { uid: number; gid: number } | null {
  const owner = process.getuid?.() === 0 ? unprivilegedUser() : null;
  if (owner !== null) chownSync(directory, owner.uid, owner.gid);
  return owner;
}

function unprivilegedUser(): { uid: number; gid: number } {
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody');
  if (user === undefined) throw new Error('There is neither a user postgres nor a user nobody.');
  return { uid: Number(user[2]), gid: Number(user[3]) };
}
