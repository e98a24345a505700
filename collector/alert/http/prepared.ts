/** Puts a destination's configuration and its preset together to the requests that are made. */
import { isIP } from 'node:net';
import { bareHost } from '../../../common/host_address.ts';
import { OperatorError } from '../../../common/operator_error.ts';
import type { HttpConfig } from '../../contract/destination.ts';
import type { StreamName } from '../../contract/export.ts';
import type {
  Authentication,
  Batch,
  BodyTree,
  Preset,
  PresetParameter,
  RequestDefinition,
} from '../../contract/http_request.ts';
import { shapeProblem, unusedShape } from './preset_shapes.ts';
import { presets } from './presets.ts';
import { Templates } from './template.ts';

export interface OneRequest {
  method: string;
  url: string;
  path: readonly string[];
  query: Readonly<Record<string, string>>;
  headers: Readonly<Record<string, string>>;
  body: BodyTree | null;
}

export interface PreparedRequest {
  templates: Templates;
  preset: Preset;
  /** Values of the preset's parameters; null where one is not set. */
  values: Readonly<Record<string, string | null>>;
  firing: OneRequest;
  /** Null: that something is over is not sent. */
  resolved: OneRequest | null;
  shape: NonNullable<RequestDefinition['shape']>;
  batch: Batch;
  action: BodyTree | null;
  auth: Authentication;
  certificate: { cert: string; key: string } | null;
  gzip: boolean;
  signWith: string;
  answer: NonNullable<RequestDefinition['answer']>;
  resendSeconds: number | null;
  /** Why the shape that was chosen changes nothing that is sent; null where all is well. */
  unusedShape: string | null;
  /** The address without secrets, such as `https://events.pagerduty.com/…`. */
  target: string;
  /** Hosts that requests go to. */
  hosts: readonly string[];
  /** Texts that must be in no error, log or answer. */
  secrets: readonly string[];
}

const SINGLE: Batch = { form: 'single', key: '', max_items: 1, max_bytes: 1_000_000, max_seconds: 1 };

/**
 * Throws `OperatorError` (2) where the configuration is wrong, or the preset does not take the stream, without any of its
 * values.
 */
export async function prepare(config: HttpConfig, stream: StreamName = 'alerts'): Promise<PreparedRequest> {
  const known = await presets();
  const preset = known.get(config.preset);
  if (preset === undefined) {
    throw new OperatorError(
      2,
      `There is no preset ${JSON.stringify(config.preset)}. The presets are ${[...known.keys()].join(', ')}.`,
    );
  }
  const templates = await Templates.load();
  const values = checkedValues(preset, config.values);
  const shipped: RequestDefinition = { ...preset.request, ...differences(preset, stream) };
  const { resolved, ...definition }: RequestDefinition = { ...shipped, ...config.request };
  const own = (template: string) => templates.text(template, { values });
  const complete = (given: RequestDefinition): OneRequest => ({
    method: given.method ?? 'POST',
    url: checkedUrl(own(given.url ?? ''), 'url'),
    path: given.path ?? [],
    query: given.query ?? {},
    headers: Object.fromEntries(
      Object.entries(given.headers ?? {}).flatMap(([name, value]) => {
        const text = own(value);
        return text === '' ? [] : [[name, checkedHeader(name, text)]];
      }),
    ),
    body: given.body ?? null,
  });
  const firing = complete(definition);
  const problem = shapeProblem(definition, stream);
  if (problem !== null) throw new OperatorError(2, problem);
  const auth = filledAuthentication(definition.auth ?? { kind: 'none' }, own);
  const certificate = definition.certificate ?? null;
  const prepared = {
    templates,
    preset,
    values,
    firing,
    resolved: resolved === null ? null : complete({ ...definition, ...resolved }),
    shape: definition.shape ?? 'native',
    batch: definition.batch ?? SINGLE,
    action: definition.action ?? null,
    auth,
    certificate: certificate && { cert: own(certificate.cert), key: own(certificate.key) },
    gzip: definition.gzip ?? false,
    signWith: own(definition.sign_with ?? ''),
    answer: definition.answer ?? 'status',
    unusedShape:
      (definition.shape ?? 'native') === (shipped.shape ?? 'native') ? null : unusedShape(definition),
    resendSeconds: definition.resend_seconds ?? null,
  };
  const { protocol, host } = new URL(firing.url);
  const hosts = [firing.url, ...(auth.kind === 'oauth2' ? [auth.token_url] : [])].map(hostOf);
  return {
    ...prepared,
    target: `${protocol}//${host}/…`,
    hosts,
    secrets: secretsOf(prepared, Object.values(config.request?.headers ?? {})),
  };
}

/** Returns what is different for a stream. */
function differences(preset: Preset, stream: StreamName): RequestDefinition {
  if (stream === 'alerts') return {};
  const found = preset.streams[stream];
  if (found !== undefined) return found;
  const known = ['alerts', ...Object.keys(preset.streams)].join(', ');
  throw new OperatorError(
    2,
    `The preset ${preset.name} does not take the stream ${stream}. It takes ${known}.`,
  );
}

/** Returns the host of an address, without the brackets of an IPv6 address. */
function hostOf(url: string): string {
  const { hostname } = new URL(url);
  const bare = bareHost(hostname);
  return isIP(bare) === 0 ? hostname : bare;
}

function checkedValues(
  preset: Preset,
  given: Readonly<Record<string, string>>,
): Record<string, string | null> {
  const { parameters, name } = preset;
  for (const key of Object.keys(given)) {
    if (parameters.some((parameter) => parameter.name === key)) continue;
    throw new OperatorError(
      2,
      `The preset ${name} has no value ${JSON.stringify(key)}. Its values are ${parameters.map((each) => each.name).join(', ')}.`,
    );
  }
  return Object.fromEntries(
    parameters.map((parameter) => [parameter.name, checkedValue(parameter, given[parameter.name], name)]),
  );
}

function checkedValue(parameter: PresetParameter, given: string | undefined, preset: string): string | null {
  const value = given === undefined || given === '' ? parameter.default : given;
  if (value === null) {
    if (!parameter.required) return null;
    throw new OperatorError(2, `The preset ${preset} needs the value ${parameter.name}: ${parameter.label}.`);
  }
  if (parameter.pattern !== null && !new RegExp(`^(?:${parameter.pattern})$`).test(value)) {
    throw new OperatorError(
      2,
      `The value ${parameter.name} of the preset ${preset} does not look right. ${parameter.hint}`,
    );
  }
  return value;
}

function checkedUrl(text: string, name: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new OperatorError(2, `The ${name} of the destination is no http or https URL. Correct it.`);
  }
  return text;
}

function checkedHeader(name: string, value: string): string {
  if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) {
    throw new OperatorError(2, `The header ${name} has characters that no header may have. Correct it.`);
  }
  return value;
}

function filledAuthentication(auth: Authentication, own: (template: string) => string): Authentication {
  switch (auth.kind) {
    case 'none':
      return auth;
    case 'header':
      return { ...auth, value: checkedHeader(auth.name, own(auth.value)) };
    case 'basic':
      return { ...auth, username: own(auth.username), password: own(auth.password) };
    case 'oauth2':
      return {
        kind: auth.kind,
        token_url: checkedUrl(own(auth.token_url), 'token_url'),
        client_id: own(auth.client_id),
        client_secret: own(auth.client_secret),
        scope: own(auth.scope),
      };
  }
}

/** Returns the longest first, because the path of a URL is a part of the URL. */
function secretsOf(
  prepared: Pick<
    PreparedRequest,
    'preset' | 'values' | 'firing' | 'resolved' | 'auth' | 'signWith' | 'certificate'
  >,
  headers: readonly string[],
): string[] {
  const { preset, values, auth } = prepared;
  const found = preset.parameters.flatMap(({ name, secret }) => (secret ? [values[name] ?? ''] : []));
  for (const request of [prepared.firing, prepared.resolved]) {
    if (request === null) continue;
    const url = new URL(request.url);
    const path = url.pathname === '/' ? '' : url.pathname;
    found.push(request.url, url.href, `${path}${url.search}`, path, url.search, url.password);
  }
  found.push(prepared.signWith, prepared.certificate?.key ?? '', ...headers);
  if (auth.kind === 'header') found.push(auth.value);
  if (auth.kind === 'basic') found.push(auth.password, basicCredentials(auth.username, auth.password));
  if (auth.kind === 'oauth2') found.push(auth.client_secret);
  return [...new Set(found)].filter((text) => text !== '').sort((a, b) => b.length - a.length);
}

export function basicCredentials(username: string, password: string): string {
  return Buffer.from(`${username}:${password}`).toString('base64');
}
