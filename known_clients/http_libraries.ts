/**
 * HTTP libraries and programs. Code that sends their user agent decides itself if it asks for a token. The
 * user agents were measured, or are the default that the library's source sets. An SDK that sets none shows
 * as the library under it, so a client that may be behind one is named beside it.
 */
import type { Language } from './step.ts';

export interface HttpLibrary {
  /** Group 1 is the version, where there is one. */
  pattern: RegExp;
  name: string;
  /** Language of the code that calls it. Null where that is not known. */
  language: Language | null;
  /** Ids of clients that send this user agent as well. */
  mayBe: readonly string[];
  /** Id of the old SDK that shows as this library when it reads credentials. */
  sdkBehind: string | null;
}

function library(
  name: string,
  language: Language | null,
  pattern: RegExp,
  mayBe: readonly string[] = [],
  sdkBehind: string | null = null,
): HttpLibrary {
  return { name, language, pattern, mayBe, sdkBehind };
}

/** The first entry of a name that matches counts. */
export const HTTP_LIBRARIES: readonly HttpLibrary[] = [
  library('excon', 'ruby', /^excon\/([\w.+-]+)/, ['fog-aws']),
  library('curl', 'shell', /^curl\/([\w.+-]+)/),
  library('wget2', 'shell', /^wget2\/([\w.+-]+)/),
  library('Wget', 'shell', /^Wget(?:\/([\w.+-]+))?/),
  library('HTTPie', 'shell', /^HTTPie\/([\w.+-]+)/),
  library('aria2', 'shell', /^aria2\/([\w.+-]+)/),
  library('Lynx', 'shell', /^Lynx\/([\w.+-]+)/),
  library('w3m', 'shell', /^w3m\/([\w.+-]+)/),
  // botocore before 1.10 sends the user agent of its own copy of requests, which is 2.7.0. Later releases of
  // requests name no interpreter (its HISTORY, 2.8.0).
  library(
    'requests',
    'python',
    /^python-requests\/(2\.7\.0) CPython\/(?:2\.7|3\.[4-6])\b/,
    ['botocore-old'],
    'botocore-old',
  ),
  library('requests', 'python', /^python-requests\/([\w.+-]+)/),
  library('httpx', 'python', /^python-httpx\/([\w.+-]+)/),
  library('aiohttp', 'python', /\baiohttp\/([\w.+-]+)/),
  library('urllib3', 'python', /^python-urllib3\/([\w.+-]+)/, ['botocore']),
  library('urllib', 'python', /^Python-urllib\/([\w.+-]+)/, ['boto2'], 'boto2'),
  library('Go net/http', 'go', /^Go-http-client\/([\w.+-]+)/, ['datadog-agent', 'kube2iam']),
  library('axios', 'javascript', /^axios\/([\w.+-]+)/),
  library('got', 'javascript', /^got(?: \(|\/([\w.+-]+))/),
  library('node-fetch', 'javascript', /^node-fetch(?:\/([\w.+-]+))?/),
  library('Needle', 'javascript', /^Needle\/([\w.+-]+)/),
  library('Node.js fetch', 'javascript', /^node$/),
  library('Java HttpClient', 'java', /^Java-http-client\/([\w.+-]+)/),
  // AWS SDK for Java 1.7 to 1.10 set no user agent for metadata.
  library('Java HttpURLConnection', 'java', /^Java\/([\w.+-]+)/, ['aws-sdk-java-v1'], 'aws-sdk-java-v1'),
  library('Apache HttpClient', 'java', /^Apache-HttpClient\/([\w.+-]+)/),
  library('OkHttp', 'java', /^okhttp\/([\w.+-]+)/),
  library('Guzzle', 'php', /^GuzzleHttp\/([\w.+-]+)/),
  library('libwww-perl', 'perl', /^(?:libwww-perl|lwp-request)\/([\w.+-]+)/, ['vm-ec2']),
  library('HTTP::Tiny', 'perl', /^HTTP-Tiny\/([\w.+-]+)/),
  library('Ruby Net::HTTP', 'ruby', /^Ruby$/, ['aws-sdk-ruby-v1', 'facter', 'ohai'], 'aws-sdk-ruby-v1'),
  library('Faraday', 'ruby', /^Faraday v([\w.+-]+)/),
  library('rest-client', 'ruby', /^rest-client\/([\w.+-]+)/),
  library('PowerShell', null, /\b(?:Windows)?PowerShell\/([\w.+-]+)/),
];
