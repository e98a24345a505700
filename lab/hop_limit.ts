/**
 * Sets IP_TTL and IPV6_UNICAST_HOPS of a Node socket, as `HttpPutResponseHopLimit` does for a token's answer.
 */
import type { Socket } from 'node:net';
import { cLibrary } from '../common/c_library.ts';

// include/uapi/linux/in.h, in6.h: the level is the protocol's number.
const IPPROTO_IP = 0;
const IP_TTL = 2;
const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const DEFAULT_HOP_LIMIT = 64;

type SetSockOpt = (fd: number, level: number, name: number, value: Buffer, length: number) => number;
let setSockOpt: SetSockOpt | null = null;
const current = new WeakMap<Socket, number>();

/**
 * Applies to every packet that the socket sends from now on, retransmissions included. Throws when refused.
 */
export function setHopLimit(socket: Socket, hopLimit: number): void {
  if ((current.get(socket) ?? DEFAULT_HOP_LIMIT) === hopLimit) return;
  // Loaded on first need: most labs never change the hop limit.
  setSockOpt ??= loadSetSockOpt();
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const value = Buffer.alloc(4);
  value.writeInt32LE(hopLimit);
  const v6 = socket.remoteFamily === 'IPv6';
  const level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  if (setSockOpt(fd, level, v6 ? IPV6_UNICAST_HOPS : IP_TTL, value, value.length) !== 0) {
    throw new Error(`setsockopt refused the hop limit ${hopLimit}`);
  }
  current.set(socket, hopLimit);
}

function loadSetSockOpt(): SetSockOpt {
  return cLibrary().func('int setsockopt(int, int, int, void *, uint32_t)') as unknown as SetSockOpt;
}
