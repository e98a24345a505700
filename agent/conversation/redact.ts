/**
 * Removes what must never be recorded from the parts of a request that are. What a secret is called and looks like is
 * declared in one place, for command arguments and for these.
 */
import { MASK, maskText } from '../identity/mask.ts';
import { SECRET_LOOKS, SECRET_NAME } from '../identity/mask_names.ts';

/** Session tokens of the service and of AWS STS: base64, slashes and all, that begins with these letters. */
const SESSION_TOKEN = /AQAE[\w\-+/=%]{16,}|(?:IQoJ|FwoG)[\w\-+/=%]{36,}/g;
const NAME = new RegExp(SECRET_NAME, 'i');
/** The lifetime that is asked for with a token is no secret. */
const LIFETIME_NAME = /-ttl-seconds$/i;
/** In a path `token:` and the like may be a resource; `token=` is none. */
const NAMED_IN_PATH = new RegExp(`((?:${SECRET_NAME})[\\w.-]{0,64}=)[^/;&]*`, 'gi');

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

export function redactPath(path: string): string {
  return rememberingClean('path', path, maskedPath);
}

function maskedPath(path: string): string {
  let masked = path.replace(SESSION_TOKEN, MASK).replace(NAMED_IN_PATH, `$1${MASK}`);
  for (const look of SECRET_LOOKS) masked = masked.replace(look, masking);
  return masked;
}

/** Of a parameter with a secret's name the name stays; of any other what looks like a secret goes. */
export function redactQuery(query: string): string {
  const parts = query.replace(SESSION_TOKEN, MASK).split(/([&;])/);
  // An access key's id in one parameter makes forty characters in another a secret key.
  const keyIdGiven = /A(?:KIA|SIA)[A-Z0-9]{12}/.test(query);
  return parts
    .map((part) => {
      const end = part.indexOf('=');
      if (end < 0) return maskText(part, false, keyIdGiven);
      const name = part.slice(0, end);
      if (isSecretName(name)) return `${name}=${MASK}`;
      return `${name}=${maskText(part.slice(end + 1), false, keyIdGiven)}`;
    })
    .join('');
}

export function redactUserAgent(text: string): string {
  return rememberingClean('user-agent', text, (whole) => maskText(whole.replace(SESSION_TOKEN, MASK)));
}

function isSecretName(name: string): boolean {
  const plain = name.replace(/%([2-7][0-9a-f])/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return NAME.test(plain) && !LIFETIME_NAME.test(plain);
}

function masking(_: string, kept: unknown): string {
  return typeof kept === 'string' ? kept + MASK : MASK;
}
