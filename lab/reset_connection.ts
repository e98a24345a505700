import type { Socket } from 'node:net';

/**
 * Ends a connection by a TCP reset. A socket whose own end is being sent is closed without one: libuv refuses a reset
 * then (uv_tcp_close_reset in src/unix/tcp.c), and Node 24 would never close it and would not exit.
 */
export function resetConnection(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}
