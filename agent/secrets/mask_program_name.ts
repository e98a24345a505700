/**
 * Masks the name that the kernel keeps for a program: the beginning of a file's name, or a name that the
 * program gave itself. The kernel cuts it to 15 bytes, and what is left of a secret then may be too short to
 * be recognised.
 */
import { MASK, maskCutEnd, maskPath } from './mask.ts';

/** The kernel cuts names to this many bytes, so a name of this length may be a part of a longer one. */
const CUT_LENGTH = 15;
/** The shortest part of a secret that counts as one. */
const MIN_LENGTH = 12;

/**
 * Returns the masked name.
 *
 * @param raw texts of the same process that may contain the whole name.
 * @param masked the same texts, masked.
 */
export function maskProgramName(
  name: string,
  raw: readonly (string | null)[],
  masked: readonly (string | null)[],
): string {
  if (name.length < MIN_LENGTH) return name;
  const shown = maskPath(name);
  const isCut = Buffer.byteLength(name) >= CUT_LENGTH;
  // The name was a part of a secret if masking has removed it from the texts.
  if (isCut && holds(raw, name) && !holds(masked, name)) return MASK;
  return isCut ? maskCutEnd(shown, NAME_BITS) : shown;
}

/** A name needs more bits than a path: it has more signs and abrupt ends. */
const NAME_BITS = 16;

function holds(texts: readonly (string | null)[], name: string): boolean {
  return texts.some((text) => text?.includes(name));
}
