/**
 * Removes secrets from the recorded parts of a request. The names and looks of secrets are declared in one
 * file, which the masking of command arguments uses too.
 */

import { rememberingClean } from './clean_texts.ts';
import { MASK, maskRequestPath, maskShapes, maskText } from './mask.ts';
import { ACCESS_KEY_ID, SECRET_NAME } from './mask_names.ts';
import { maskCutEnd } from './mask_shapes.ts';

const NAME = new RegExp(SECRET_NAME, 'i');
/** The lifetime that a client asks for with a token is no secret. */
const LIFETIME_NAME = /-ttl-seconds$/i;
/** A name is decoded at most this many times. */
const MAX_DECODINGS = 4;

/**
 * Masks secrets in a path.
 *
 * @param isCut the path ends with a line that was cut, possibly within a secret.
 */
export function redactPath(path: string, isCut = false): string {
  const masked = rememberingClean('path', path, maskRequestPath);
  return isCut ? maskCutEnd(masked) : masked;
}

/**
 * Masks secrets in a query, in names and in values. A parameter that is named like a secret keeps its name.
 */
export function redactQuery(query: string, isCut = false): string {
  // If one parameter has the id of a key, forty characters in another are taken for the secret key.
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
