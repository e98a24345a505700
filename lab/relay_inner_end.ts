/**
 * Runs the end of a relay inside the lab: `relay_inner_end.ts PATH PORT` forwards a socket in the file system
 * to a port.
 */
import { connect, createServer } from 'node:net';

const [path, port] = process.argv.slice(2) as [string, string];
createServer((outer) => {
  const inner = connect(Number(port), '127.0.0.1');
  outer.on('error', () => inner.destroy()).on('close', () => inner.destroy());
  inner.on('error', () => outer.destroy()).on('close', () => outer.destroy());
  outer.pipe(inner).pipe(outer);
}).listen(path);
