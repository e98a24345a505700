/**
 * Runs inside the lab: `forwarder.ts FROM TO` forwards connections. Each is the path of a socket in the file system, or
 * a port on the lab's loopback. Prints a line when it listens.
 */
import { connect, createServer } from 'node:net';

const [from, to] = process.argv.slice(2).map((end) => (/^\d+$/.test(end) ? Number(end) : end));

createServer((outer) => {
  const inner = typeof to === 'number' ? connect(to, '127.0.0.1') : connect(to!);
  outer.on('error', () => inner.destroy()).on('close', () => inner.destroy());
  inner.on('error', () => outer.destroy()).on('close', () => outer.destroy());
  outer.pipe(inner).pipe(outer);
}).listen(typeof from === 'number' ? { port: from, host: '127.0.0.1' } : { path: from! }, () => {
  process.stdout.write('listening\n');
});
