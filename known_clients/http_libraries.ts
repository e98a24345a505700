/** HTTP libraries and programs. Code that sends their user agent decides itself if it asks for a token. */
import type { Language } from './step.ts';

export interface HttpLibrary {
  /** Group 1 is the version, where there is one. */
  pattern: RegExp;
  name: string;
  /** Language of the code that calls it. */
  language: Language;
  /** Ids of clients that send this user agent as well. */
  mayBe: readonly string[];
}

export const HTTP_LIBRARIES: readonly HttpLibrary[] = [
  { pattern: /^excon\/([\w.+-]+)/, name: 'excon', language: 'ruby', mayBe: ['fog-aws'] },
  { pattern: /^curl\/([\w.+-]+)/, name: 'curl', language: 'shell', mayBe: [] },
  { pattern: /^wget2\/([\w.+-]+)/, name: 'wget2', language: 'shell', mayBe: [] },
  { pattern: /^Wget(?:\/([\w.+-]+))?/, name: 'Wget', language: 'shell', mayBe: [] },
  { pattern: /^HTTPie\/([\w.+-]+)/, name: 'HTTPie', language: 'shell', mayBe: [] },
  { pattern: /^aria2\/([\w.+-]+)/, name: 'aria2', language: 'shell', mayBe: [] },
  { pattern: /^Lynx\/([\w.+-]+)/, name: 'Lynx', language: 'shell', mayBe: [] },
  { pattern: /^w3m\/([\w.+-]+)/, name: 'w3m', language: 'shell', mayBe: [] },
  { pattern: /^python-requests\/([\w.+-]+)/, name: 'requests', language: 'python', mayBe: [] },
  { pattern: /^python-httpx\/([\w.+-]+)/, name: 'httpx', language: 'python', mayBe: [] },
  { pattern: /\baiohttp\/([\w.+-]+)/, name: 'aiohttp', language: 'python', mayBe: [] },
  { pattern: /^python-urllib3\/([\w.+-]+)/, name: 'urllib3', language: 'python', mayBe: ['botocore'] },
  { pattern: /^Python-urllib\/([\w.+-]+)/, name: 'urllib', language: 'python', mayBe: ['boto2'] },
  { pattern: /^Go-http-client\/([\w.+-]+)/, name: 'Go net/http', language: 'go', mayBe: [] },
  { pattern: /^axios\/([\w.+-]+)/, name: 'axios', language: 'javascript', mayBe: [] },
  { pattern: /^got(?: \(|\/([\w.+-]+))/, name: 'got', language: 'javascript', mayBe: [] },
  { pattern: /^node-fetch(?:\/([\w.+-]+))?/, name: 'node-fetch', language: 'javascript', mayBe: [] },
  { pattern: /^Needle\/([\w.+-]+)/, name: 'Needle', language: 'javascript', mayBe: [] },
  { pattern: /^node$/, name: 'Node.js fetch', language: 'javascript', mayBe: [] },
  { pattern: /^Java-http-client\/([\w.+-]+)/, name: 'Java HttpClient', language: 'java', mayBe: [] },
  { pattern: /^Java\/([\w.+-]+)/, name: 'Java HttpURLConnection', language: 'java', mayBe: [] },
  { pattern: /^GuzzleHttp\/([\w.+-]+)/, name: 'Guzzle', language: 'php', mayBe: [] },
  { pattern: /^libwww-perl\/([\w.+-]+)/, name: 'libwww-perl', language: 'perl', mayBe: ['vm-ec2'] },
  {
    pattern: /^Ruby$/,
    name: 'Ruby Net::HTTP',
    language: 'ruby',
    mayBe: ['aws-sdk-ruby-v1', 'facter', 'ohai'],
  },
];
