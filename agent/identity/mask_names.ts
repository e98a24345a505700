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

/** Values that are secrets by their look, wherever they stand, in paths too. Each group 1, where there is one, is kept. */
export const LOOKS_IN_PATHS: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY[\s\S]*/g,
  // scheme://user:password@host; greedy, for a password may hold a slash or an @.
  /([a-z][a-z0-9+.-]{0,31}:\/\/)\S{1,2000}(?=@)/gi,
  // RFC 7519: a base64url header that begins with `{"`. Glued to another word it needs all its parts.
  /(?<![\w-])eyJ[\w-]{6,}(?:\.[\w-]*){0,4}/g,
  /eyJ[0hlr][\w-]{6,}\.[\w-]{8,}\.[\w-]{8,}/g,
  // API keys with a telling prefix, which may be glued to an option.
  /(?:(?<!\w)|(?<=^-\w))(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-(?=[\w-]*\d)|npm_|AIza|hvs\.)[\w-]{16,}/g,
];

/** The same for command lines and requests. A file may be named `Basic Examples`, a package `v8/credentials`. */
export const SECRET_LOOKS: readonly RegExp[] = [
  ...LOOKS_IN_PATHS,
  // A space may be encoded, as in a form.
  /(\b(?:bearer|basic|digest|negotiate|ntlm|apikey)(?:\s|\+|%(?:25){0,3}20){1,8})[A-Za-z0-9._~+/=:%-]{6,}/gi,
  // Whoever knows the id of an ECS task's credentials gets them (AWS ECS developer guide, "Task IAM role").
  /(\/v\d\/credentials(?:\/+|\?id=))[^/\s&;#"']+/g,
];

/** Anything as long and dense is no word. A file's name may be. */
export const LONG_AND_DENSE = /(?<![\w+/=-])[\w+=-]{100,}(?![\w-])/g;
/** Beside the id of an access key any 40 characters of base64 are its secret. */
export const FORTY_CHARACTERS = /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])/g;
export const ACCESS_KEY_ID = /(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{12,}/;
