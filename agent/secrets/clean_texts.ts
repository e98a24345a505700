/**
 * Remembers texts without secrets: callers ask for the same few things and are started in the same few ways, and an
 * examination takes a dozen searches. No text that was masked is kept.
 */
import { Recent } from '../../common/bounded_map.ts';

const clean = new Recent<true>(512);
const MAX_CLEAN_CHARACTERS = 256;

/** Returns the masked text. `kind` names what `mask` does: texts are remembered for each kind. */
export function rememberingClean(kind: string, text: string, mask: (text: string) => string): string {
  if (text.length > MAX_CLEAN_CHARACTERS) return mask(text);
  const key = `${kind} ${text}`;
  if (clean.get(key)) return text;
  const masked = mask(text);
  if (masked === text) clean.set(key, true);
  return masked;
}
