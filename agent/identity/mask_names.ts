/** What a secret is called, and what one looks like: the one place where masking is declared. */

/** Parts of names whose values are secret, in any case, wherever they stand in a name. */
export const SECRET_NAME = [
  'passw',
  'passphrase',
  'pass',
  'pwd',
  'secret',
  'token',
  'credential',
  'auth',
  'private',
  'cookie',
  'bearer',
  'session[_.-]?(?:id|key)',
  'signature',
  '(?:api|access|secret|signing|encryption|account|shared|master|ssh|client|license|storage)[_.-]?key',
].join('|');

/** Options of single programs whose value is a secret although their name does not say so; by program name. */
export const SECRET_LETTERS: readonly { programs: RegExp; letters: string }[] = [
  {
    programs: /^(?:mysql\w*|mariadb[\w-]*|mongo\w*|sshpass|7z[ar]?|docker|podman|nerdctl|rabbitmqadmin)$/,
    letters: 'p',
  },
  { programs: /^(?:redis-cli|http|https|xh)$/, letters: 'a' },
  { programs: /^(?:ldap\w+)$/, letters: 'w' },
  { programs: /^(?:zip|unzip|ipmitool|sqlcmd|bcp)$/, letters: 'P' },
  { programs: /^(?:curl)$/, letters: 'uUbE' },
  { programs: /^(?:smbclient)$/, letters: 'U' },
  { programs: /^(?:lftp)$/, letters: 'u' },
  { programs: /^(?:snmp\w+)$/, letters: 'cAX' },
];

/** Values that are secrets by their look, wherever they stand. Each group 1, where there is one, is kept. */
export const SECRET_LOOKS: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY[\s\S]*/g,
  // scheme://user:password@host; greedy, for a password may hold a slash or an @.
  /([a-z][a-z0-9+.-]{0,31}:\/\/)\S{1,2000}(?=@)/gi,
  /(\b(?:bearer|basic|digest|negotiate|ntlm|apikey)\s+)[A-Za-z0-9._~+/=:-]{6,}/gi,
  // RFC 7519: a base64url header that begins with `{"`.
  /(?<![\w-])eyJ[\w-]{6,}(?:\.[\w-]*){0,4}/g,
  // Session tokens of the metadata service and of AWS STS; API keys with a telling prefix.
  // In a URL's path they follow a slash.
  /(?<![\w+-])(?:AQA|IQoJ|FwoG)[\w+/=-]{36,}/g,
  /(?<!\w)(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-|npm_|AIza|hvs\.)[\w-]{16,}/g,
  // Whoever knows the id of an ECS task's credentials gets them (AWS ECS developer guide, "Task IAM role").
  /(\/v\d\/credentials(?:\/+|\?id=))[^/\s&;#"']+/g,
  // Anything as long and dense as that is no word and no path.
  /(?<![\w+/=-])[\w+=-]{100,}(?![\w-])/g,
];

/** 40 characters of base64 are an AWS secret access key; hashes and paths of that length are mostly of one kind only. */
export const FORTY_CHARACTERS = /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])/g;
export const ACCESS_KEY_ID = /(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{12,}/;
