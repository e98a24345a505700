/** Secrets of every shape and the encodings in which they travel, for tests. */
import fc from 'fast-check';

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const BASE64URL = `${BASE64.slice(0, 62)}-_`;

/**
 * Characters of a uniform distribution, like those of real secrets: fast-check's own prefers, and shrinks to, many times the
 * letter A.
 */
const uniform = (alphabet: string, length: number): fc.Arbitrary<string> =>
  fc.noShrink(
    fc
      .noBias(fc.array(fc.integer({ min: 0, max: 63 }), { minLength: length, maxLength: length }))
      .map((digits) => digits.map((digit) => alphabet[digit]).join('')),
  );

export const KEYS = uniform(BASE64, 40);
export const TOKENS: Record<string, fc.Arbitrary<string>> = {
  'metadata token': uniform(BASE64URL, 49).map((rest) => `AQAEA${rest}==`),
  'session token': uniform(BASE64, 300).map((rest) => `IQoJb3JpZ2luX2VjE${rest}`),
  'session token, older': uniform(BASE64, 200).map((rest) => `FwoGZXIvYXdzE${rest}=`),
  'session token, oldest': uniform(BASE64, 200).map((rest) => `FQoDYXdzE${rest}`),
  'token of imdswatch': uniform(BASE64URL, 43).map((rest) => `imdsw_p${rest}`),
};

const percent = (secret: string) => secret.replace(/[^\w-]/g, (sign) => encodeURIComponent(sign));

/** Every form in which a secret may stand in a text. */
export const ENCODINGS: Record<string, (secret: string) => string> = {
  plain: (secret) => secret,
  'percent-encoded': percent,
  'percent-encoded twice': (secret) => encodeURIComponent(percent(secret)),
  'percent-encoded in every character': (secret) =>
    secret.replace(/[\s\S]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`),
  'percent-encoded in its first character': (secret) =>
    `%${secret.charCodeAt(0).toString(16)}${secret.slice(1)}`,
  'JSON with escaped slashes': (secret) => secret.replaceAll('/', '\\/'),
  'JSON within JSON': (secret) => secret.replaceAll('/', '\\\\/'),
  'escapes of Unicode': (secret) =>
    secret.replace(/[^\w]/g, (sign) => `\\u00${sign.charCodeAt(0).toString(16)}`),
  'references of HTML': (secret) => secret.replace(/[^\w]/g, (sign) => `&#${sign.charCodeAt(0)};`),
  'two quoted parts': (secret) => `${secret.slice(0, 17)}''${secret.slice(17)}`,
  'two strings with a plus': (secret) => `${secret.slice(0, 23)}" + "${secret.slice(23)}`,
};

/** Ordinary texts to stand before a secret. */
export const BEFORE = fc.constantFrom(
  '',
  '-t',
  'x',
  '--foo=',
  '--foo=https://x/?s=',
  'https://example.com/a/b/?key=',
  '{"a": "',
  "curl -H 'x: ",
  '/srv/app/releases/',
  'client/1.2 ',
  'é',
  'k:',
);
export const AFTER = fc.constantFrom('', '"', "'", '&x=1', ' linux', '",\n', '.py', ')', '#é', '?');

/** Tells whether twelve characters of a secret, as it is or as it was encoded, are left in a text. */
export function leaves(masked: string, ...forms: string[]): boolean {
  return forms.some((form) => {
    for (let at = 0; at + 12 <= form.length; at++) if (masked.includes(form.slice(at, at + 12))) return true;
    return false;
  });
}
