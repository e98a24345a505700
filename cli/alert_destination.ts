/** Reads the file that describes an alert destination: one flat YAML mapping. */
import { parse, type YAMLParseError } from 'yaml';
import type * as z from 'zod';
import { alertRule } from '../collector/contract/alert.ts';
import { destinationConfig, type NewDestination, newDestination } from '../collector/contract/destination.ts';
import { OperatorError } from '../common/operator_error.ts';

export const DESTINATION_EXAMPLES = `  name: soc                          name: chat
  kind: webhook                      kind: slack
  url: https://soc.example.com/in    url: https://hooks.example.com/services/…
  secret: at least 16 characters     rules: [credentials_over_v1, new_offender]

  name: siem                         name: mail
  kind: syslog                       kind: email
  host: logs.example.com             host: smtp.example.com
  port: 6514                         port: 587
  transport: tls                     security: starttls
  facility: 16                       username: imdswatch
                                     password: …
                                     from: imdswatch@example.com
                                     to: [soc@example.com]

  rules: any of ${alertRule.options.slice(0, 3).join(', ')},
         ${alertRule.options.slice(3).join(', ')}; without this key all of them.
  enabled: false                     the destination is stored, but gets no alerts.
`;

/**
 * Throws `OperatorError` (2) that names the file and the key, but no value, because a value may be a secret.
 */
export function readDestination(text: string, file: string): NewDestination {
  const { name, enabled, rules = alertRule.options, ...config } = readMapping(text, file);
  const result = newDestination.safeParse({ name, enabled, rules, config });
  if (!result.success) {
    throw new OperatorError(2, result.error.issues.map((issue) => `${file}: ${describe(issue)}.`).join('\n'));
  }
  const known = Object.keys(result.data.config);
  for (const key of Object.keys(config)) {
    if (known.includes(key)) continue;
    throw new OperatorError(
      2,
      `${file}: a destination of kind ${result.data.config.kind} has no key "${key}". Its keys are ${['name', 'rules', 'enabled', ...known].join(', ')}.`,
    );
  }
  return result.data;
}

function readMapping(text: string, file: string): Record<string, unknown> {
  let document: unknown;
  try {
    document = parse(text, { prettyErrors: true, logLevel: 'error' });
  } catch (error) {
    // The parser's message quotes the file, which may contain a secret.
    const { code, name, linePos } = error as Partial<YAMLParseError> & Error;
    const position = linePos === undefined ? '' : ` at line ${linePos[0].line}, column ${linePos[0].col}`;
    throw new OperatorError(2, `${file} is not valid YAML${position} (${code ?? name}). Correct that line.`);
  }
  if (document === null || typeof document !== 'object' || Array.isArray(document)) {
    throw new OperatorError(2, `${file} must contain "key: value" lines that describe one destination.`);
  }
  return document as Record<string, unknown>;
}

function describe({ path, message, code }: z.core.$ZodIssue): string {
  const key = path.filter((part) => part !== 'config').join('.');
  if (code === 'invalid_union' && key === 'kind') {
    const kinds = destinationConfig.options.map((option) => option.shape.kind.value);
    return `kind must be one of ${kinds.join(', ')}`;
  }
  return key === '' ? message : `${key}: ${message}`;
}
