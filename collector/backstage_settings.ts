/** The settings of the collector for owners from Backstage's catalogue. */
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { isLoopback } from '../common/host_address.ts';
import { OperatorError } from '../common/operator_error.ts';
import { type BackstageOptions, readToken } from './backstage/options.ts';

export const backstageShape = {
  backstage_url: z
    .url({ protocol: /^https?$/, error: 'must be a URL, such as https://backstage.example.com' })
    .optional()
    .describe(
      'Address of the backend of Backstage, as its backend.baseUrl has it, whose catalogue names owners behind all rules. Give all collectors the same. See "Backstage" in docs/operate.md.',
    ),
  backstage_token_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'File that contains a token of Backstage for external access to its catalogue, and nothing else. It is read each time, so that it can be replaced.',
    ),
  backstage_ca_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Certificates (PEM) of the authorities that signed the certificate of Backstage. Default: those that Node.js trusts.',
    ),
  backstage_interval_seconds: z
    .number()
    .min(60)
    .max(604_800)
    .default(3600)
    .describe('Seconds from one reading of the catalogue to the next.'),
};

export type BackstageSettings = z.infer<z.ZodObject<typeof backstageShape>>;

/** Returns null where no catalogue is read. Throws `OperatorError` (exit code 2). It reads no file. */
export function checkBackstageSettings(settings: BackstageSettings): BackstageOptions | null {
  const { backstage_url: url, backstage_token_file: tokenFile, backstage_ca_file: caFile } = settings;
  if (url === undefined) {
    const lonely = (['backstage_token_file', 'backstage_ca_file'] as const).find(
      (each) => settings[each] !== undefined,
    );
    if (lonely === undefined) return null;
    return refuse(`${lonely} needs backstage_url: set the address of the backend of Backstage.`);
  }
  const { protocol, hostname, username, password, search, hash } = new URL(url);
  if (username !== '' || password !== '' || search !== '' || hash !== '') {
    return refuse('backstage_url must be an address alone: write the token into backstage_token_file.');
  }
  if (protocol !== 'https:' && !isLoopback(hostname)) {
    return refuse(
      `backstage_url is ${url}: the token would be sent unencrypted. It needs https, except on a loopback address.`,
    );
  }
  if (tokenFile === undefined) {
    return refuse(
      'backstage_url needs backstage_token_file: a file with a token for external access to the catalogue.',
    );
  }
  const intervalMs = settings.backstage_interval_seconds * 1000;
  return { url, tokenFile, caFile: caFile ?? null, intervalMs };
}

/** Returns the same after a try to read the files. Throws `OperatorError` (exit code 2). */
export function backstageOptions(settings: BackstageSettings): BackstageOptions | null {
  const options = checkBackstageSettings(settings);
  if (options === null) return null;
  try {
    readToken(options.tokenFile);
    if (options.caFile !== null) readFileSync(options.caFile);
  } catch (error) {
    refuse(
      `${(error as Error).message}. Check the files that backstage_token_file and backstage_ca_file name.`,
    );
  }
  return options;
}

function refuse(message: string): never {
  throw new OperatorError(2, message);
}
