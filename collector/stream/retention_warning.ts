/** Says before it happens that retention deletes calls which were not sent. Pure. */
import { toTimestamp } from '../store/time.ts';

const DAY_US = 86_400_000_000;
/** Share of the age or size at which retention deletes, from which it is near. */
const NEAR = 0.8;

export interface RetentionBounds {
  rawDays: number;
  maxBytes: number;
  /** Bytes of the store now. */
  bytes: number;
}

/** `oldestUs`: the earliest call of those that wait. Returns null where nothing is near. */
export function warningOf(
  behind: number,
  oldestUs: number | null,
  { rawDays, maxBytes, bytes }: RetentionBounds,
  nowUs: number,
): string | null {
  if (oldestUs === null) return null;
  const calls = behind === 1 ? '1 call waits' : `${behind} calls wait`;
  if (nowUs - oldestUs >= rawDays * DAY_US * NEAR) {
    const at = toTimestamp(oldestUs + rawDays * DAY_US).slice(0, 16);
    return `${calls}, and the first ones are deleted from ${at}Z on (raw_days ${rawDays}). Mend the receiver, or raise raw_days until they are sent.`;
  }
  if (bytes >= maxBytes * NEAR) {
    const share = Math.floor((bytes / maxBytes) * 100);
    return `${calls}, and the store has ${share} % of its max_bytes, beyond which the oldest calls are deleted. Mend the receiver, or raise max_bytes until they are sent.`;
  }
  return null;
}
