/** Texts about errors of the cloud. */
import type { CloudError } from './cloud.ts';

const MAX_CHARACTERS = 300;
/** EC2 appends the request in a form that only its owner can decode, and that is long. */
const ENCODED = /\s*Encoded authorization failure message:.*$/s;

/** Returns code and message of an error on one line, shortened. */
export function errorText({ code, message }: CloudError): string {
  const text = message.replace(ENCODED, '').replace(/\s+/g, ' ').trim();
  const short = text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text;
  const line = short === '' ? code : `${code}: ${short}`;
  return line.endsWith('.') ? line : `${line}.`;
}
