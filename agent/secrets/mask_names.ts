/** Declares the names of secrets and the looks of secrets for all masking. */

/** A name that contains one of these parts, in upper or lower case, has a secret value. */
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

/** These options of single programs take a secret although their name does not tell. */
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

/** These values look like secrets wherever they stand, in paths too. Group 1, where there is one, is kept. */
export const LOOKS_IN_PATHS: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY[\s\S]*/g,
  // scheme://user:password@host. The match is greedy, because a password may contain a slash or an @.
  /([a-z][a-z0-9+.-]{0,31}:\/\/)\S{1,2000}(?=@)/gi,
  // A JSON web token begins with `{"` in base64url (RFC 7519). Glued to another word it needs all its parts.
  /(?<![\w-])eyJ[\w-]{6,}(?:\.[\w-]*){0,4}/g,
  /eyJ[0hlr][\w-]{6,}\.[\w-]{8,}\.[\w-]{8,}/g,
  // These prefixes tell API keys, which may be glued to an option.
  /(?:(?<!\w)|(?<=^-\w))(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-(?=[\w-]*\d)|npm_|AIza|hvs\.)[\w-]{16,}/g,
];

/** These look like secrets in command lines and requests only: a file may be named `Basic Examples`. */
export const SECRET_LOOKS: readonly RegExp[] = [
  ...LOOKS_IN_PATHS,
  // The space before the value may be encoded, as in a form.
  /(\b(?:bearer|basic|digest|negotiate|ntlm|apikey)(?:\s|\+|%(?:25){0,3}20){1,8})[A-Za-z0-9._~+/=:%-]{6,}/gi,
  // The id of the credentials of an ECS task is all that is needed to read them (ECS developer guide, "Task
  // IAM role").
  /(\/v\d\/credentials(?:\/+|\?id=))[^/\s&;#"']+/g,
];

/** A text as long and dense as this is no word, though it may be the name of a file. */
export const LONG_AND_DENSE = /(?<![\w+/=-])[\w+=-]{100,}(?![\w-])/g;
/** Beside the id of an access key any 40 characters of base64 are taken for its secret. */
export const FORTY_CHARACTERS = /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])/g;
export const ACCESS_KEY_ID = /(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{12,}/;
