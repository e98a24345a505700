/**
 * Encrypts what a browser or the database keeps for the collector: AES-256-GCM with a key that HKDF (RFC 5869) derives
 * from the secret of the client. All collectors behind one load balancer have that secret, so any of them can read it.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export interface SealKeySource {
  issuer: string;
  clientId: string;
  clientSecret: string;
}

export class Seal {
  readonly #key: Buffer;
  readonly #purpose: Buffer;

  /** `purpose`: what is sealed for one purpose cannot be opened for another. */
  constructor({ issuer, clientId, clientSecret }: SealKeySource, purpose: string) {
    const salt = JSON.stringify([issuer, clientId]);
    this.#key = Buffer.from(hkdfSync('sha256', clientSecret, salt, `imdswatch oidc ${purpose}`, 32));
    this.#purpose = Buffer.from(purpose);
  }

  /** Returns base64url without padding, which is fit for a cookie. */
  seal(text: string): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(this.#purpose);
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return Buffer.concat([nonce, sealed, cipher.getAuthTag()]).toString('base64url');
  }

  /** Returns null for anything that was not sealed with this key and purpose. */
  open(sealed: string): string | null {
    const bytes = Buffer.from(sealed, 'base64url');
    // Node skips characters that are not base64url, so that a changed text could mean the same bytes.
    if (bytes.length < NONCE_BYTES + TAG_BYTES || bytes.toString('base64url') !== sealed) return null;
    const decipher = createDecipheriv(CIPHER, this.#key, bytes.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(this.#purpose);
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      const body = bytes.subarray(NONCE_BYTES, -TAG_BYTES);
      return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8');
    } catch {
      return null;
    }
  }
}
