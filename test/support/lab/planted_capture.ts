/** Writes a capture file in which each planted request is one whole connection. */
import { pcap } from '../agent/capture/capture_files.ts';
import { ipv4, type TcpParts, tcp } from '../agent/decode/frames.ts';
import { type PlantedRequest, SHAPES } from './planted_secrets.ts';

const START_US = 1_780_000_000_000_000;
const [SYN, ACK, SYN_ACK, PSH_ACK, FIN_ACK] = [0x02, 0x10, 0x12, 0x18, 0x11];
/** The secret in every answer. No part of an answer is recorded. */
export const PLANTED_ANSWER = { place: 'response body', secret: SHAPES['key']!('response body') };
const BODY = JSON.stringify({ Code: 'Success', SecretAccessKey: PLANTED_ANSWER.secret });
const ANSWER = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`);
const CLIENT = [10, 0, 0, 7];
const SERVICE = [169, 254, 169, 254];

/** Returns the packets of one connection with one request and its answer. */
function conversation(port: number, request: Buffer): Buffer[] {
  const [sent, answered] = [1001 + request.length, 5001 + ANSWER.length];
  const out = (parts: TcpParts) =>
    ipv4(tcp({ sourcePort: port, destinationPort: 80, ...parts }), { source: CLIENT, destination: SERVICE });
  const back = (parts: TcpParts) =>
    ipv4(tcp({ sourcePort: 80, destinationPort: port, ...parts }), { source: SERVICE, destination: CLIENT });
  return [
    out({ seq: 1000, flags: SYN }),
    back({ seq: 5000, ack: 1001, flags: SYN_ACK }),
    out({ seq: 1001, ack: 5001, flags: ACK }),
    out({ seq: 1001, ack: 5001, flags: PSH_ACK, payload: request }),
    back({ seq: 5001, ack: sent, flags: PSH_ACK, payload: ANSWER }),
    out({ seq: sent, ack: answered, flags: FIN_ACK }),
    back({ seq: answered, ack: sent + 1, flags: FIN_ACK }),
    out({ seq: sent + 1, ack: answered + 1, flags: ACK }),
  ];
}

export function plantedCapture(planted: readonly PlantedRequest[]): Buffer {
  const packets = planted.flatMap(({ request }, index) => conversation(20_000 + index, Buffer.from(request)));
  return pcap(packets.map((data, index) => ({ timeUs: START_US + index * 1000, data })));
}
