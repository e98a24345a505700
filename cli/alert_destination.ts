/** Reads the file that describes an alert destination: a YAML mapping. */
import { parse, type YAMLParseError } from 'yaml';
import type * as z from 'zod';
import { alertRule } from '../collector/contract/alert.ts';
import { destinationConfig, type NewDestination, newDestination } from '../collector/contract/destination.ts';
import type { DestinationPreset } from '../collector/contract/http_request.ts';
import { OperatorError } from '../common/operator_error.ts';

export const DESTINATION_EXAMPLES = `  name: soc                          name: chat
  preset: webhook                    preset: slack
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
         ${alertRule.options.slice(3).join(', ')}; without this key those of the preset, or all.
  enabled: false                     the destination is stored, but gets no alerts.
  stream: calls                      every record of calls, findings or audit, in place of alerts.
  shape: otlp                        the shape of the records: native, otlp, ocsf, ecs or asff.
  digest: true                       many alerts of one rule come as one summary, for people.
  send_resolved: false               alerts that say that something is over are left out.
  owners: {patterns: [pay-*], unowned: true}
                                     only alerts about what these owners have, and about what has no owner.
  request: {…}                       parts of the request in place of the preset's, see the documentation.
`;

/** Kinds of earlier releases, which are presets now. */
const PRESET_KINDS = ['webhook', 'slack'];

/** Settings that are given by flags. */
export interface DestinationFlags {
  preset?: string | undefined;
  name?: string | undefined;
  stream?: string | undefined;
  shape?: string | undefined;
  /** `KEY=VALUE` of values that are no secrets. */
  set?: readonly string[];
  /** Owners whose alerts it gets. */
  owner?: readonly string[];
  /** It gets alerts about something without an owner. */
  unowned?: boolean;
}

/**
 * `text`: null where there is no file. Throws `OperatorError` (2) that names the file and the key, but no value, because a
 * value may be a secret.
 */
export function readDestination(
  text: string | null,
  file: string,
  presets: readonly DestinationPreset[],
  flags: DestinationFlags = {},
): NewDestination {
  const given = text === null ? {} : readMapping(text, file);
  const { name, enabled, rules, digest, send_resolved, stream, shape, owners, ...config } = given;
  const isPresetKind = PRESET_KINDS.includes(String(config['kind']));
  const presetName = flags.preset ?? config['preset'] ?? (isPresetKind ? config['kind'] : undefined);
  const isHttp = presetName !== undefined || config['kind'] === 'http' || config['kind'] === undefined;
  const preset = isHttp ? presetOf(String(presetName ?? 'webhook'), presets) : null;
  const read = newDestination.safeParse({
    name: flags.name ?? name ?? defaultName(preset?.name, flags.stream ?? stream),
    enabled,
    stream: flags.stream ?? stream,
    shape: flags.shape ?? shape,
    rules: rules ?? preset?.rules ?? alertRule.options,
    digest,
    owners: ownersOf(flags) ?? owners,
    send_resolved: send_resolved ?? preset?.send_resolved,
    config: preset === null ? config : httpConfig(config, preset, flags.set ?? []),
  });
  if (!read.success) {
    throw new OperatorError(2, read.error.issues.map((issue) => `${file}: ${describe(issue)}.`).join('\n'));
  }
  if (preset === null) refuseUnknownKeys(config, read.data, file);
  return read.data;
}

/** Returns the owners that flags name; undefined where they name none. */
function ownersOf({ owner = [], unowned = false }: DestinationFlags) {
  return owner.length === 0 && !unowned ? undefined : { patterns: [...owner], unowned };
}

/** Several streams can go to one receiver. */
function defaultName(preset: string | undefined, stream: unknown): string | undefined {
  if (preset === undefined || stream === undefined || stream === 'alerts') return preset;
  return `${preset}-${stream}`;
}

/** Returns a file to fill in. */
export function presetFile({ name, title, parameters }: DestinationPreset): string {
  const lines = parameters.map(({ name: key, label, hint, required, default: value }) => {
    const note = [label, ...(hint === '' ? [] : [hint])].join('. ');
    const isSet = required && value === null;
    return `${isSet ? '' : '# '}${key}: ${value ?? ''}`.trimEnd().concat(`  # ${note}`);
  });
  return [`# ${title}`, `name: ${name}`, `preset: ${name}`, ...lines, ''].join('\n');
}

function presetOf(name: string, presets: readonly DestinationPreset[]): DestinationPreset {
  const found = presets.find((each) => each.name === name);
  if (found !== undefined) return found;
  throw new OperatorError(
    2,
    `There is no preset ${JSON.stringify(name)}. The presets are ${presets.map((each) => each.name).join(', ')}.`,
  );
}

function httpConfig(config: Record<string, unknown>, preset: DestinationPreset, set: readonly string[]) {
  const { kind: _kind, preset: _preset, request, ...given } = config;
  const values = Object.fromEntries(
    Object.entries(given).map(([key, value]) => [key, typeof value === 'number' ? String(value) : value]),
  );
  for (const each of set) {
    const at = each.indexOf('=');
    const key = each.slice(0, Math.max(at, 0));
    if (at < 1) throw new OperatorError(2, '--set takes KEY=VALUE. Write for example --set url=https://….');
    if (preset.parameters.some(({ name, secret }) => name === key && secret)) {
      throw new OperatorError(
        2,
        `The value ${key} is a secret, and others can see the arguments of a command. Put it into a file: --from-file.`,
      );
    }
    values[key] = each.slice(at + 1);
  }
  return { kind: 'http', preset: preset.name, values, ...(request === undefined ? {} : { request }) };
}

function refuseUnknownKeys(given: Record<string, unknown>, { config }: NewDestination, file: string): void {
  const known = Object.keys(config);
  for (const key of Object.keys(given)) {
    if (known.includes(key)) continue;
    throw new OperatorError(
      2,
      `${file}: a destination of kind ${config.kind} has no key "${key}". Its keys are ${['name', 'rules', 'enabled', 'digest', 'send_resolved', 'owners', 'stream', 'shape', ...known].join(', ')}.`,
    );
  }
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
