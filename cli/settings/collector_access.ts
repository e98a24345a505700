/** Opens the collector on another machine that the settings name. */
import { readFileSync } from 'node:fs';
import { AGENT_TOKEN_CHARACTERS } from '../../common/agent_token.ts';
import { isLoopback } from '../../common/host_address.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { CollectorClient } from '../collector_client/collector_client.ts';

/** Settings that belong to the collector: with `--collector` its own values count. */
const OWN_OF_COLLECTOR = [
  'readiness_window_days',
  'readiness_max_missing_seconds',
  'silent_after_seconds',
  'helper_programs',
  'release_patterns',
  'owner_rules',
] as const;

export interface CollectorAccessSettings {
  collector?: string | undefined;
  collector_token?: string | undefined;
  collector_token_file?: string | undefined;
  collector_ca_file?: string | undefined;
}

/**
 * Returns a client of the collector that `--collector` names; null for the files on this machine. `given`: names of the
 * settings that the command line or the environment gives. Throws `OperatorError` (2).
 */
export function collectorClientOf(
  settings: CollectorAccessSettings,
  given: ReadonlySet<string>,
): CollectorClient | null {
  const { collector, collector_token: token, collector_token_file: tokenFile } = settings;
  if (collector === undefined) {
    const alone = ['collector_token_file', 'collector_ca_file'].find((key) => given.has(key));
    if (alone === undefined) return null;
    throw new OperatorError(
      2,
      `${flagOf(alone)} is given without --collector: add the address of the collector, or leave it out.`,
    );
  }
  const own = OWN_OF_COLLECTOR.find((key) => given.has(key));
  if (own !== undefined) {
    throw new OperatorError(
      2,
      `${flagOf(own)} cannot be combined with --collector, which judges by its own settings. Leave it out, and change it on the collector's machine.`,
    );
  }
  const { protocol, hostname, pathname, search, hash, username, password, origin } = new URL(collector);
  if (`${pathname}${search}${hash}${username}${password}` !== '/') {
    throw new OperatorError(2, `--collector must be an address without path, query and password: ${origin}.`);
  }
  if (protocol === 'http:') {
    if (settings.collector_ca_file !== undefined) {
      throw new OperatorError(
        2,
        `--collector ${origin} is not encrypted, so ${settings.collector_ca_file} would not be used: write https://, or leave out collector_ca_file.`,
      );
    }
    if (!isLoopback(hostname)) {
      process.stderr.write(
        `The connection to ${origin} is not encrypted: anybody on the network path can read it and steal the token.\n`,
      );
    }
  }
  const read = () => tokenOf(tokenFile, token);
  read();
  return new CollectorClient({
    url: origin,
    token: read,
    tokenFrom: tokenFile ?? 'IMDSWATCH_COLLECTOR_TOKEN',
    caFile: settings.collector_ca_file ?? null,
  });
}

function tokenOf(file: string | undefined, token: string | undefined): string {
  if (file === undefined) {
    if (token !== undefined) return token;
    throw new OperatorError(
      2,
      'The token for --collector is missing: name a file with --collector-token-file, or set IMDSWATCH_COLLECTOR_TOKEN. "imdswatch token create --kind person" makes one on the collector\'s machine.',
    );
  }
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new OperatorError(2, `collector_token_file ${file} cannot be read: ${(error as Error).message}.`);
  }
  if (text !== '' && AGENT_TOKEN_CHARACTERS.test(text)) return text;
  throw new OperatorError(
    2,
    `collector_token_file ${file} must hold one word of letters, digits and . _ ~ + / = - only.`,
  );
}

function flagOf(key: string): string {
  return `--${key.replaceAll('_', '-')}`;
}
