/**
 * Secrets of imdswatch: 256 random bits after a prefix that secret scanners can find. Only their SHA-256 is
 * stored.
 */
import { createHash, randomBytes } from 'node:crypto';

/** `p`erson, `e`nrolment, `a`gent, sign-in `c`ode, `s`ession. */
export type SecretLetter = 'p' | 'e' | 'a' | 'c' | 's';

const PREFIX = 'imdsw_';
const SECRET_BYTES = 32;
/** 32 bytes in base64url (RFC 4648 section 5) without padding. */
const SECRET = /^imdsw_([peacs])[A-Za-z0-9_-]{43}$/;

export function newSecret(letter: SecretLetter): string {
  return `${PREFIX}${letter}${randomBytes(SECRET_BYTES).toString('base64url')}`;
}

/**
 * Returns the kind of a secret by its prefix. Returns null for a text that cannot be one of ours and needs no
 * look-up.
 */
export function letterOf(secret: string): SecretLetter | null {
  return (SECRET.exec(secret)?.[1] as SecretLetter | undefined) ?? null;
}

/**
 * A plain hash is enough for 256 random bits: they cannot be guessed, and the look-up leaks nothing by its
 * timing.
 */
export function secretHash(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/**
 * Returns the token of `Authorization: Bearer` (RFC 6750 section 2.1), or null for another scheme or no
 * header.
 */
export function bearerOf(authorization: string | null | undefined): string | null {
  return /^Bearer +([A-Za-z0-9._~+/=-]+) *$/i.exec(authorization ?? '')?.[1] ?? null;
}
