/** Reads from the settings which collector the agent reports to, and how it authenticates there. */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { agentTokenOf } from '../../common/agent_token.ts';
import { isLoopback } from '../../common/host_address.ts';
import { OperatorError } from '../../common/operator_error.ts';
import type { AgentSettings } from '../config.ts';
import { tlsOptions } from './collector_tls.ts';
import { CredentialFile } from './credential_file.ts';
import type { CollectorAddress } from './outbox.ts';

type CollectorSettings = Pick<
  AgentSettings,
  | 'collector_url'
  | 'collector_ca_file'
  | 'tls_cert_file'
  | 'tls_key_file'
  | 'agent_token'
  | 'agent_token_file'
  | 'spool_dir'
  | 'heartbeat_seconds'
>;

/** Returns the checked address. Called before anything is watched. Throws `OperatorError` (exit code 2). */
export function collectorAddress(settings: CollectorSettings, hostId: string, log: Logger): CollectorAddress {
  const { collector_url: url, spool_dir: spoolDir } = settings;
  const tls = {
    caFile: settings.collector_ca_file ?? null,
    certFile: settings.tls_cert_file ?? null,
    keyFile: settings.tls_key_file ?? null,
  };
  const isEncrypted = url.startsWith('wss:');
  const unusedFile = Object.values(tls).find((file) => file !== null);
  if (!isEncrypted && unusedFile !== undefined) {
    throw new OperatorError(
      2,
      `collector_url ${url} is not encrypted, so ${unusedFile} would not be used: write wss://, or leave the TLS settings out.`,
    );
  }
  if (isEncrypted) tlsOptions(tls);
  else if (!isLoopback(new URL(url).hostname)) {
    log.warn(
      { collector: url },
      'the connection to the collector is not encrypted: anybody on the network path can read it and steal the token',
    );
  }
  const token = agentTokenOf(settings, (file) => readFileSync(file, 'utf8'));
  if (token === null && tls.certFile === null && new CredentialFile(spoolDir, hostId, log).get() === null) {
    throw new OperatorError(
      2,
      'agent_token is not set: give the agent an enrolment token of its collector (--agent-token-file FILE), or a client certificate (--tls-cert-file, --tls-key-file).',
    );
  }
  return { url, token, spoolDir, tls, heartbeatMs: settings.heartbeat_seconds * 1_000 };
}
