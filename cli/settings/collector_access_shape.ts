/** Settings of commands that can ask a collector on another machine by its API, instead of its files on this one. */
import * as z from 'zod';
import { AGENT_TOKEN_CHARACTERS } from '../../common/agent_token.ts';

export const collectorAccessShape = {
  collector: z
    .url({
      protocol: /^https?$/,
      error: 'must be the URL of a collector, such as https://collector.example:8787',
    })
    .optional()
    .describe(
      "Address of a collector on another machine. The command asks it by its API, and judges by its settings. Default: the collector's files on this machine.",
    ),
  collector_token: z
    .string()
    .regex(AGENT_TOKEN_CHARACTERS, 'must be one word of letters, digits and . _ ~ + / = -')
    .min(1)
    .optional()
    .meta({ secret: true, flag: false })
    .describe(
      'Token for --collector ("imdswatch token create --kind person"). A viewer may read; changes there need an admin. It has no flag, because others see the arguments of a process.',
    ),
  collector_token_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'File that contains only the token. It is read for each request, and wins over collector_token.',
    ),
  collector_ca_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'PEM file of the authority that signed the certificate of an https:// collector. For a self-signed certificate, the certificate itself. Default: the public authorities.',
    ),
};
