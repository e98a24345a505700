/** Finds parts of known secrets in texts, however these are encoded. Shares no code with what masks them. */

export interface KnownSecret {
  place: string;
  secret: string;
}

/** The length of the shortest part that counts as a leak. */
const PART = 12;
/** The letters that all session tokens begin with are no secret. */
const COMMON_BEGINNING = /^IQoJb3JpZ2luX2VjE/;
const DECODINGS = 4;

export class SecretFinder {
  readonly #places = new Map<string, string>();

  constructor(secrets: readonly KnownSecret[]) {
    for (const { place, secret } of secrets) {
      const own = secret.replace(COMMON_BEGINNING, '');
      for (const form of formsOf(own)) {
        for (let at = 0; at + PART <= form.length; at++) this.#places.set(form.slice(at, at + PART), place);
      }
    }
  }

  /** Returns the places whose secrets, or parts of them, are in a text or in a decoded form of it. */
  placesIn(text: string): Set<string> {
    const places = new Set<string>();
    let last = '';
    let form = text;
    for (let round = 0; round <= DECODINGS && form !== last; round++) {
      for (let at = 0; at + PART <= form.length; at++) {
        const place = this.#places.get(form.slice(at, at + PART));
        if (place !== undefined) places.add(place);
      }
      last = form;
      form = decodedOnce(form);
    }
    return places;
  }
}

/** Returns a secret as it is, for URLs, in base64 at each of the three offsets, and in hexadecimal. */
function formsOf(secret: string): string[] {
  const base64 = ['', 'x', 'xx'].map((before) =>
    Buffer.from(before + secret)
      .toString('base64')
      .slice(4, -4),
  );
  const urlSafe = secret.replaceAll('+', '-').replaceAll('/', '_');
  return [secret, urlSafe, ...base64, Buffer.from(secret).toString('hex')];
}

/**
 * Undoes one round of percent-encoding, of escapes, of references, and of quotes between two parts of a word.
 */
function decodedOnce(text: string): string {
  const character = (code: string, base: number) => String.fromCharCode(Number.parseInt(code, base));
  return text
    .replace(/%([2-7][0-9a-f])/gi, (_, hex: string) => character(hex, 16))
    .replace(/\\u00([2-7][0-9a-f])/gi, (_, hex: string) => character(hex, 16))
    .replace(/&#(\d{2,3});/g, (_, digits: string) => character(digits, 10))
    .replace(/&quot;/g, '"')
    .replace(/\\(["'/\\])/g, '$1')
    .replace(/["'](?: ?\+ ?)?["']/g, '');
}
