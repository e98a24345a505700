/** Parses the messages of agents. */
import type { RawData } from 'ws';
import { type AgentFrame, agentFrame } from '../../protocol/frames.ts';

/** Returns the frame of a text message; null where it is not a valid one. */
export function parseFrame(data: RawData): AgentFrame | null {
  try {
    const parsed = agentFrame.safeParse(JSON.parse(data.toString()));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

export function byteLength(data: RawData): number {
  return Array.isArray(data) ? data.reduce((sum, part) => sum + part.length, 0) : data.byteLength;
}
