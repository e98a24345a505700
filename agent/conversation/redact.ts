/**
 * Removes what must never be recorded from the parts of a request that are. What a secret is called and looks like is
 * declared in one place, for command arguments and for these.
 */

import { MASK, maskRequestPath, maskShapes, maskText } from '../identity/mask.ts';
import { ACCESS_KEY_ID, SECRET_NAME } from '../identity/mask_names.ts';
import { maskCutEnd } from '../identity/mask_shapes.ts';

const NAME = new RegExp(SECRET_NAME, 'i');
/** The lifetime that is asked for with a token is no secret. */
const LIFETIME_NAME = /-ttl-seconds$/i;
/** The longest percent-encoding of an encoded name that is decoded. */
const MAX_DECODINGS = 4;

/** Texts that held no secret, oldest first: callers ask for the same few things, and looking takes a dozen searches. */
const clean = new Set<string>();
const MAX_CLEAN_TEXTS = 256;
const MAX_CLEAN_CHARACTERS = 256;

function rememberingClean(kind: string, text: string, redact: (text: string) => string): string {
  const key = `${kind} ${text}`;
  if (clean.has(key)) return text;
  const masked = redact(text);
  if (masked === text && text.length <= MAX_CLEAN_CHARACTERS) {
    clean.add(key);
    if (clean.size > MAX_CLEAN_TEXTS) clean.delete(clean.keys().next().value!);
  }
  return masked;
}

/** `isCut`: the path ends where its line was cut, maybe in the middle of a secret. */
export function redactPath(path: string, isCut = false): string {
  const masked = rememberingClean('path', path, maskRequestPath);
  return isCut ? maskCutEnd(masked) : masked;
}

/** The name of a parameter with a secret's name stays. Whatever looks like a secret goes, in names and in values. */
export function redactQuery(query: string, isCut = false): string {
  // A key's id in one parameter makes forty characters in another a secret key.
  const keyIdGiven = ACCESS_KEY_ID.test(query);
  const masked = maskShapes(query)
    .split(/([&;])/)
    .map((part) => {
      const end = part.indexOf('=');
      if (end < 0) return maskText(part, false, keyIdGiven);
      const name = part.slice(0, end);
      if (isSecretName(name)) return `${maskShapes(name)}=${MASK}`;
      return `${maskText(name, false, keyIdGiven)}=${maskText(part.slice(end + 1), false, keyIdGiven)}`;
    })
    .join('');
  return isCut ? maskCutEnd(masked) : masked;
}

export function redactUserAgent(text: string, isCut = false): string {
  const masked = rememberingClean('user-agent', text, maskText);
  return isCut ? maskCutEnd(masked) : masked;
}

function isSecretName(name: string): boolean {
  let plain = name;
  for (let round = 0; round < MAX_DECODINGS && plain.includes('%'); round++) {
    plain = plain.replace(/%([2-7][0-9a-f])/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
  }
  return NAME.test(plain) && !LIFETIME_NAME.test(plain);
}
