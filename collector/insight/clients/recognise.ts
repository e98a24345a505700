/**
 * Recognises the SDK or tool that a workload uses. A user agent can be missing or misleading: SDKs for
 * JavaScript send none, or only with some calls, and many tools send that of their HTTP library. The program
 * itself is therefore looked at first.
 */
import type { WorkloadIdentity } from '../../store/workload_identity.ts';
import { AWS_SDKS } from './aws_sdks.ts';
import type { Client, Language } from './client.ts';
import { TOOLS } from './tools.ts';

const CLIENTS = new Map([...AWS_SDKS, ...TOOLS].map((client) => [client.id, client]));

/** One `name/version` of a user agent. */
export interface Product {
  name: string;
  version: string | null;
  client: Client | null;
  /** Language of the code that calls an HTTP library. */
  language: Language | null;
  mayBe: readonly Client[];
}

interface ProductPattern {
  pattern: RegExp;
  client?: string;
  name?: string;
  language?: Language;
  mayBe?: string[];
}

/**
 * Group 1 is the version. If a user agent has several products, the pattern that comes first here says most.
 */
const PRODUCTS: readonly ProductPattern[] = [
  { pattern: /\baws-cli\/([\w.+-]+)/i, client: 'aws-cli' },
  { pattern: /\bboto3\/([\w.+-]+)/i, client: 'boto3' },
  { pattern: /\bbotocore\/([\w.+-]+)/i, client: 'botocore' },
  { pattern: /\baws-sdk-nodejs\/([\w.+-]+)/, client: 'aws-sdk-js-v2' },
  { pattern: /\baws-sdk-go-v2\/([\w.+-]+)/, client: 'aws-sdk-go-v2' },
  { pattern: /\baws-sdk-go\/([\w.+-]+)/, client: 'aws-sdk-go-v1' },
  { pattern: /\baws-sdk-ruby3\/([\w.+-]+)/, client: 'aws-sdk-ruby-v3' },
  { pattern: /\baws-sdk-java\/(1\.[\w.+-]+)/, client: 'aws-sdk-java-v1' },
  { pattern: /\baws-sdk-java\/(2\.[\w.+-]+)/, client: 'aws-sdk-java-v2' },
  { pattern: /\baws-sdk-php\/([\w.+-]+)/, client: 'aws-sdk-php' },
  { pattern: /\baws-sdk-cpp\/([\w.+-]+)/, client: 'aws-sdk-cpp' },
  { pattern: /^Cloud-Init\/([\w.+-]+)/i, client: 'cloud-init' },
  { pattern: /^s3fs\/([\w.+-]+)/, client: 's3fs' },
  { pattern: /^rclone\/v?([\w.+-]*)/, client: 'rclone' },
  { pattern: /^excon\/([\w.+-]+)/, name: 'excon', language: 'ruby', mayBe: ['fog-aws'] },
  { pattern: /^curl\/([\w.+-]+)/, name: 'curl', language: 'shell' },
  { pattern: /^wget2\/([\w.+-]+)/, name: 'wget2', language: 'shell' },
  { pattern: /^Wget(?:\/([\w.+-]+))?/, name: 'Wget', language: 'shell' },
  { pattern: /^HTTPie\/([\w.+-]+)/, name: 'HTTPie', language: 'shell' },
  { pattern: /^aria2\/([\w.+-]+)/, name: 'aria2', language: 'shell' },
  { pattern: /^Lynx\/([\w.+-]+)/, name: 'Lynx', language: 'shell' },
  { pattern: /^w3m\/([\w.+-]+)/, name: 'w3m', language: 'shell' },
  { pattern: /^python-requests\/([\w.+-]+)/, name: 'requests', language: 'python' },
  { pattern: /^python-httpx\/([\w.+-]+)/, name: 'httpx', language: 'python' },
  { pattern: /\baiohttp\/([\w.+-]+)/, name: 'aiohttp', language: 'python' },
  { pattern: /^python-urllib3\/([\w.+-]+)/, name: 'urllib3', language: 'python', mayBe: ['botocore'] },
  { pattern: /^Python-urllib\/([\w.+-]+)/, name: 'urllib', language: 'python', mayBe: ['boto2'] },
  { pattern: /^Go-http-client\/([\w.+-]+)/, name: 'Go net/http', language: 'go' },
  { pattern: /^axios\/([\w.+-]+)/, name: 'axios', language: 'javascript' },
  { pattern: /^got(?: \(|\/([\w.+-]+))/, name: 'got', language: 'javascript' },
  { pattern: /^node-fetch(?:\/([\w.+-]+))?/, name: 'node-fetch', language: 'javascript' },
  { pattern: /^Needle\/([\w.+-]+)/, name: 'Needle', language: 'javascript' },
  { pattern: /^node$/, name: 'Node.js fetch', language: 'javascript' },
  { pattern: /^Java-http-client\/([\w.+-]+)/, name: 'Java HttpClient', language: 'java' },
  { pattern: /^Java\/([\w.+-]+)/, name: 'Java HttpURLConnection', language: 'java' },
  { pattern: /^GuzzleHttp\/([\w.+-]+)/, name: 'Guzzle', language: 'php' },
  { pattern: /^libwww-perl\/([\w.+-]+)/, name: 'libwww-perl', language: 'perl', mayBe: ['vm-ec2'] },
  {
    pattern: /^Ruby$/,
    name: 'Ruby Net::HTTP',
    language: 'ruby',
    mayBe: ['aws-sdk-ruby-v1', 'facter', 'ohai'],
  },
];

/**
 * Every question brings the same few texts. They come from hosts, so their number and length must be bounded.
 */
const MAX_REMEMBERED = 5000;
const MAX_REMEMBERED_CHARACTERS = 500;
const remembered = new Map<string, readonly Product[]>();

/** Returns the products that a user agent names, the one that says most first. */
export function productsOf(userAgent: string): readonly Product[] {
  const known = remembered.get(userAgent);
  if (known !== undefined) return known;
  const products = readProducts(userAgent);
  if (userAgent.length > MAX_REMEMBERED_CHARACTERS) return products;
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(userAgent, products);
  return products;
}

function readProducts(userAgent: string): Product[] {
  const products: Product[] = [];
  for (const { pattern, client: id, name, language, mayBe } of PRODUCTS) {
    const match = pattern.exec(userAgent);
    if (match === null) continue;
    const client = id === undefined ? null : clientOf(id);
    products.push({
      name: client?.name ?? name!,
      version: match[1] || null,
      client,
      language: client?.language ?? language ?? null,
      mayBe: (mayBe ?? []).map(clientOf),
    });
  }
  return products;
}

/** Patterns that are compared with the executable, the script and the image. */
const PROGRAMS: readonly [pattern: RegExp, client: string][] = [
  [/(^|\/)s3fs$/, 's3fs'],
  [/(^|\/)(td-agent-bit|fluent-bit|aws-for-fluent-bit)$/, 'fluent-bit'],
  [/^\/opt\/datadog-agent\/|(^|\/)datadog-agent$/, 'datadog-agent'],
  [/(^|\/)newrelic-infra(-service)?$/, 'newrelic-infra'],
  [/(^|\/)(amazon-ssm-agent|ssm-agent-worker)$/, 'amazon-ssm-agent'],
  [/(^|\/)kube2iam$/, 'kube2iam'],
  [/(^|\/)(facter|puppet)$/, 'facter'],
  [/(^|\/)(ohai|chef-client)$/, 'ohai'],
  [/(^|\/)(cloud-init|cloud-id)$/, 'cloud-init'],
  [/(^|\/)ec2metadata$/, 'cloud-guest-utils'],
  [/(^|\/)restic$/, 'restic'],
  [/(^|\/)rclone$/, 'rclone'],
  [/(^|\/)prometheus$/, 'prometheus'],
];

const INTERPRETERS: readonly [pattern: RegExp, language: Language][] = [
  [/(^|\/)(python|pypy)[\d.]*$/, 'python'],
  [/(^|\/)node(js)?[\d.]*$/, 'javascript'],
  [/(^|\/)java$/, 'java'],
  [/(^|\/)ruby[\d.]*$/, 'ruby'],
  [/(^|\/)php(-fpm|-cgi)?[\d.]*$/, 'php'],
  [/(^|\/)perl[\d.]*$/, 'perl'],
  [/(^|\/)(bash|dash|sh|zsh|ksh|busybox|curl|wget2?|nc(\.\w+)?)$/, 'shell'],
];

export type Program = Pick<WorkloadIdentity, 'executable' | 'name' | 'script' | 'image'>;

/** Returns the tool that this program is, whatever its user agent says. */
export function toolOf({ executable, name, script, image }: Program): Client | null {
  for (const text of [executable ?? name, script, image]) {
    if (text === null) continue;
    const found = PROGRAMS.find(([pattern]) => pattern.test(text));
    if (found !== undefined) return clientOf(found[1]);
  }
  return null;
}

/** Returns the language of the program if an interpreter runs it. */
export function languageOf({ executable, name }: Program): Language | null {
  const program = executable ?? name;
  if (program === null) return null;
  return INTERPRETERS.find(([pattern]) => pattern.test(program))?.[1] ?? null;
}

/** Throws an `Error` for an unknown id. Ids are written only here and in the tables. */
export function clientOf(id: string): Client {
  const client = CLIENTS.get(id);
  if (client === undefined) throw new Error(`no client ${id}`);
  return client;
}
