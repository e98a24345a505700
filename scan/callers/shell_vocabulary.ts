/** Programs and arguments of shell commands that matter for metadata calls. */
import { assignment, type Command, type Word } from './shell_parser.ts';

/** Programs that send an HTTP request for the URL in their arguments. */
const CLIENTS = new Set(
  [
    'curl',
    'wget',
    'wget2',
    'http',
    'https',
    'xh',
    'curlie',
    'aria2c',
    'axel',
    'lynx',
    'w3m',
    'links',
    'elinks',
    'fetch',
  ].concat([
    'GET',
    'HEAD',
    'lwp-request',
    'lwp-download',
    'nc',
    'ncat',
    'netcat',
    'socat',
    'telnet',
    'ab',
    'hey',
    'uclient-fetch',
    // Ansible's modules, as they are rewritten from YAML.
    'uri',
    'get_url',
    'win_uri',
    'win_get_url',
  ]),
);
export const CLIENT_IN_TEXT = /(?:^|[\s;&|(`/'"=])(?:curl|wget2?|http|aria2c|lynx|w3m|nc|GET)\s/;
/** Programs whose arguments name the address without sending anything to it, or only to compare or to print it. */
export const NOT_A_CALL = new Set(
  [
    'iptables',
    'ip6tables',
    'iptables-restore',
    'nft',
    'ip',
    'route',
    'ipset',
    'ufw',
    'firewall-cmd',
    'tc',
    'ping',
    'ping6',
    'traceroute',
  ].concat(
    [
      '[',
      '[[',
      'test',
      'case',
      'in',
      'grep',
      'egrep',
      'fgrep',
      'sed',
      'awk',
      'gawk',
      'tcpdump',
      'cap',
      'tshark',
      'dig',
      'host',
      'nslookup',
    ],
    [
      'for',
      'select',
      'unset',
      'arp',
      'ss',
      'netstat',
      'nmap',
      'ebtables',
      'bpftrace',
      'pf',
      'pfctl',
      'getent',
      'hping3',
    ],
  ),
);
export const PRINTS = new Set([
  'echo',
  'printf',
  'logger',
  'log',
  'die',
  'warn',
  'info',
  'error',
  'print',
  ':',
  'true',
  'false',
]);
/** Environment of proxies: what they do not forward is not called by them. */
export const PROXY_VARIABLE = /^(?:no_proxy|NO_PROXY)$/;
export const INTERPRETER = /^(?:python[\d.]*|pypy3?|node|nodejs|ruby|perl|php)$/;

/** Arguments that are not in the file, and may hold a header: `$@`, `$*`, `$1` alone, arrays that nothing here fills. */
export const OPEN_ARGUMENTS = /(?:^|\s)(?:\$[@*]|\$\{[@*]|\$\w+|\$\{\w+(?:\[[@*]\])?\})(?=\s|$)/;
/** The same for the body of a function, where the URL itself is an argument. */
export const OPEN_OPTIONS = /(?:^|\s)(?:\$[@*]|\$\{[@*]|\$\{\w+\[[@*]\]\})(?=\s|$)/;
export const CONFIG_OPTION = /^(?:-K|--config(?:=.*)?)$/;

export function isExport({ words }: Command): boolean {
  return /^(?:export|readonly|local|declare|typeset)$/.test(words[0]?.text ?? '');
}

/** Returns `NAME=value` words of the command, also behind `export` and its like, and behind `env`. */
export function assignmentsOf(command: Command) {
  if (!isExport(command) && command.words[0]?.text !== 'env') return command.assignments;
  const more = command.words.slice(1).flatMap((word) => {
    const equals = /^[A-Za-z_]\w*=/.exec(word.text);
    return equals === null ? [] : [assignment(equals[0], word)];
  });
  return [...command.assignments, ...more];
}

const RUNS_OTHER =
  /^(?:sudo|exec|command|builtin|eval|time|nice|nohup|env|timeout|retry|then|do|else|-\w*|\d+[smh]?|\w+=.*)$/;

/** Returns the base name of the program, behind `sudo` and its like. */
export function programOf({ words }: Command): string | null {
  const word = words.find(({ text }) => !RUNS_OTHER.test(text));
  return word === undefined ? null : baseName(word.text);
}

export function isClient(word: Word): boolean {
  return CLIENTS.has(baseName(word.text)) && word.text.length < 200;
}

export function baseName(text: string): string {
  return text.slice(text.lastIndexOf('/') + 1);
}

/**
 * Says whether a header has its token from a variable that may be empty, without any check in the script. The variable
 * gets empty where the token request has `--fail` or a time limit; without these it hangs or gets an error page.
 */
export function goesOnWithoutToken(script: string, header: Word): boolean {
  const name = /x-aws-ec2-metadata-token:\s*\$\{?(\w+)\}?$/i.exec(header.text)?.[1];
  if (name === undefined) return false;
  const request = new RegExp(String.raw`\b${name}=["'\x60]?\$?\(?[^\n;]{0,80}\bcurl\b[^\n;]{0,300}`).exec(
    script,
  )?.[0];
  if (request === undefined) return false;
  const mayBeEmpty = /\s(?:-\w*f\w*|--fail\S*|-\w*m|--max-time|--connect-timeout)\b/.test(request);
  return mayBeEmpty && !endsWithoutToken(script, name);
}

/** Says whether a script ends, or goes another way, when the variable with the token is empty. */
function endsWithoutToken(text: string, variable: string): boolean {
  const checks = [
    String.raw`-[nz]\s+["']?\$\{?${variable}\b`,
    String.raw`\$\{#?${variable}(?::?\?|:?\+|\})["']?\s*(?:==|!=|-eq|-ne|-gt|-lt)`,
    String.raw`\$\{${variable}:?[?+]`,
    String.raw`\$\{?${variable}\}?["']?\s*(?:==?|!=)\s*["']["']`,
    String.raw`\bif\s+!?\s*${variable}=`,
    String.raw`\b${variable}=[^\n]*(?:\\\n[^\n]*){0,10}(?:&&|\|\|)`,
    String.raw`^[ \t]*set\s+-\w*e`,
    String.raw`^[ \t]*set\s+-o\s+errexit`,
    String.raw`^\s*#!\S+\s+-\w*e`,
  ];
  return checks.some((check) => new RegExp(check, 'm').test(text));
}

/** Returns the place of a part of a word, or that of the word. */
export function placeOf(text: string, word: Word, part: string): { start: number; end: number } {
  const at = text.slice(word.start, word.end).indexOf(part);
  return at === -1
    ? { start: word.start, end: word.end }
    : { start: word.start + at, end: word.start + at + part.length };
}
