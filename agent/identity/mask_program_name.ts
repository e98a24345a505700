/**
 * Masks the name that the kernel has for a program. It is the beginning of a file's name or what the program calls
 * itself, cut to 15 bytes: a secret may be in it of which too little is left to know it by.
 */
import { MASK, maskCutEnd, maskPath } from './mask.ts';

/** The kernel cuts a name to as many bytes, so that a name of this length may be a part of a longer one. */
const CUT_LENGTH = 15;
/** The shortest part of a secret that counts as one. */
const MIN_LENGTH = 12;

/** `raw` and `masked`: the same texts of the same process, before and after they were masked. */
export function maskProgramName(
  name: string,
  raw: readonly (string | null)[],
  masked: readonly (string | null)[],
): string {
  if (name.length < MIN_LENGTH) return name;
  const shown = maskPath(name);
  const isCut = Buffer.byteLength(name) >= CUT_LENGTH;
  // A masked text that held the name before and holds it no longer held it in a secret.
  if (isCut && holds(raw, name) && !holds(masked, name)) return MASK;
  return isCut ? maskCutEnd(shown, NAME_BITS) : shown;
}

/** A thread's name has more signs and abrupt ends than a path has. */
const NAME_BITS = 16;

function holds(texts: readonly (string | null)[], name: string): boolean {
  return texts.some((text) => text?.includes(name));
}
