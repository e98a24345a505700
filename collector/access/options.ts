import { type CollectorSettings, configuredAgentToken, servesTls } from '../config.ts';
import type { AccessOptions } from './access.ts';

/** Throws `OperatorError` (exit code 2) for an `agent_token_file` that cannot be used. */
export function accessOptions(settings: CollectorSettings): AccessOptions {
  return {
    agentToken: configuredAgentToken(settings),
    renewCredentials: settings.renew_credentials,
    proxy: {
      userHeader: settings.proxy_user_header ?? null,
      trustedAddresses: settings.proxy_trusted_addresses,
      admins: settings.proxy_admins,
    },
    secure: servesTls(settings) || settings.public_url?.startsWith('https:') === true,
    publicUrl: settings.public_url ?? null,
  };
}
