/** Options of the catalogue of Backstage, as the settings give them. */
import { readFileSync } from 'node:fs';

export interface BackstageOptions {
  url: string;
  tokenFile: string;
  /** Null: the authorities that Node.js knows. */
  caFile: string | null;
  intervalMs: number;
}

/** Returns the token. Throws an error that does not have it. It is read each time, so that it can be replaced. */
export function readToken(file: string): string {
  const token = readFileSync(file, 'utf8').trim();
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new Error(`backstage_token_file ${file} must contain one line with the token and nothing else`);
}
