/** Every setting of the collector; flags, environment names, `--help` and the documentation come from here. */
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { OperatorError } from '../protocol/operator_error.ts';

const MIN_TOKEN_CHARACTERS = 16;
/** What may stand in an `Authorization: Bearer` header (RFC 6750 section 2.1). */
const TOKEN_CHARACTERS = /^[A-Za-z0-9._~+/=-]*$/;

export const collectorSettings = z.object({
  listen: z
    .string()
    .regex(
      /^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/,
      'must be ADDRESS:PORT, such as 127.0.0.1:8787 or [::1]:8787',
    )
    .default('127.0.0.1:8787')
    .describe('Address and port to listen on. Port 0 takes a free one.'),
  data_dir: z
    .string()
    .min(1)
    .default('/var/lib/imdswatch/collector')
    .describe('Directory of the embedded store.'),
  agent_token: z
    .string()
    .min(MIN_TOKEN_CHARACTERS, `must have at least ${MIN_TOKEN_CHARACTERS} characters`)
    .regex(TOKEN_CHARACTERS, 'must be made of letters, digits and . _ ~ + / = - only')
    .optional()
    .meta({ secret: true })
    .describe('What agents must show to be let in. Prefer agent_token_file or the environment to a flag.'),
  agent_token_file: z.string().min(1).optional().describe('File that holds agent_token, and nothing else.'),
  max_connections: z
    .int()
    .min(1)
    .max(100_000)
    .default(1024)
    .describe('Agents connected at one time; more are told to come again later.'),
  idle_seconds: z
    .int()
    .min(5)
    .max(3600)
    .default(60)
    .describe('A connection on which nothing arrived for this long is closed.'),
  log_level: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Least severe messages to log.'),
});

export type CollectorSettings = z.infer<typeof collectorSettings>;

/** The agents' token from whichever setting has it. Throws `OperatorError` (exit code 2) when none or a bad one is set. */
export function readAgentToken(
  settings: Pick<CollectorSettings, 'agent_token' | 'agent_token_file'>,
): string {
  if (settings.agent_token !== undefined) return settings.agent_token;
  const file = settings.agent_token_file;
  if (file === undefined) {
    throw new OperatorError(
      2,
      'agent_token is not set. Make one ("head -c 24 /dev/urandom | base64 > FILE; chmod 600 FILE") and give it to the collector and to its agents: --agent-token-file FILE.',
    );
  }
  let token: string;
  try {
    token = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new OperatorError(2, `agent_token_file ${file} cannot be read: ${(error as Error).message}.`);
  }
  if (token.length < MIN_TOKEN_CHARACTERS) {
    throw new OperatorError(
      2,
      `agent_token_file ${file} must hold at least ${MIN_TOKEN_CHARACTERS} characters, and has ${token.length}.`,
    );
  }
  if (!TOKEN_CHARACTERS.test(token)) {
    throw new OperatorError(
      2,
      `agent_token_file ${file} must hold one word of letters, digits and . _ ~ + / = - only.`,
    );
  }
  return token;
}
