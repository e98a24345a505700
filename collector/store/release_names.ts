/**
 * Recognises the parts of a path that change with a release: versions, revisions, deployment ids. Two paths that
 * differ in these parts only belong to one workload. Pure: an ordered table of rules, each with an example.
 *
 * A rule that joins too much hides an offender behind another one, so each rule names a form that nothing but a
 * release has. Paths that fit no rule stay apart, and an operator joins them with `release_patterns`.
 */

/** Stands for the part that changes. */
const ANY = '*';

interface ReleaseRule {
  /** Matches the part of the whole path that changes. */
  pattern: RegExp;
  /** Text in its place; `*` unless given. */
  replacement?: string;
  /** Paths, and the form that they share. The tests run them. */
  examples: readonly (readonly [path: string, stable: string])[];
}

/** A word behind a version that belongs to it. Any other word, such as `worker`, names another program. */
const QUALIFIER =
  '(?:v?\\d[0-9A-Za-z]*|(?:alpha|beta|rc|pre|preview|dev|snapshot|final|release|ga|post|build|hotfix|patch|sp|lts|stable|bullseye|bookworm|trixie|focal|jammy|noble|alpine|slim|m(?=\\d)|ubuntu|debian|deb|el|amzn)\\d*)';
/** Scripts that lie beside each other are two programs, whatever number is in their names. */
const SCRIPT_EXTENSION = '\\.(?:py|sh|bash|rb|js|mjs|cjs|ts|pl|php|lua|tcl|R)$';
const VERSION = new RegExp(
  `(?<=^|[/\\-_@~ ])v?\\d+(?:\\.\\d+)+(?:(?:a|b|rc)\\d+)?(?:[-_.+~]${QUALIFIER}(?![0-9A-Za-z]))*(?=$|[/\\-_+~ ]|(?!${SCRIPT_EXTENSION})\\.[A-Za-z])`,
  'gi',
);

export const RELEASE_RULES: readonly ReleaseRule[] = [
  {
    // https://snapcraft.io/docs/revisions: a number, or x and a number for a local build.
    pattern: /(?<=^(?:\/var\/lib\/snapd)?\/snap\/[^/]+\/)x?\d+(?=\/)/g,
    examples: [['/snap/aws-cli/1234/bin/python3', '/snap/aws-cli/*/bin/python']],
  },
  {
    // https://docs.aws.amazon.com/codedeploy/latest/userguide/deployments-view-details.html: d- and nine characters.
    pattern: /(?<=\/)d-[0-9A-Z]{9}(?=\/|$)/g,
    examples: [
      [
        '/opt/codedeploy-agent/deployment-root/1b2c3d4e-0000-4000-8000-00000000000a/d-ABCDEF123/scripts/start.sh',
        '/opt/codedeploy-agent/deployment-root/*/*/scripts/start.sh',
      ],
    ],
  },
  {
    // RFC 9562.
    pattern: /(?<=^|[/_\-. ])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?=$|[/_\-. ])/gi,
    examples: [['/srv/job/1b2c3d4e-0000-4000-8000-00000000000a.sh', '/srv/job/*.sh']],
  },
  {
    // cloud-init keeps the scripts of an instance below its id; SSM keeps its documents there.
    pattern: /(?<=\/)i-(?:[0-9a-f]{17}|[0-9a-f]{8})(?=\/)/g,
    examples: [
      [
        '/var/lib/cloud/instances/i-0123456789abcdef0/scripts/part-001',
        '/var/lib/cloud/instances/*/scripts/part-001',
      ],
    ],
  },
  {
    pattern: /(?<=\/jvm\/)[^/]+(?=\/)/g,
    examples: [['/usr/lib/jvm/java-17-openjdk-amd64/bin/java', '/usr/lib/jvm/*/bin/java']],
  },
  {
    pattern:
      /(?<=\/)(jdk|jre|java|openjdk|amazon-corretto|corretto|temurin|zulu|graalvm)[-_.]?\d[^/]*(?=\/)/g,
    replacement: `$1${ANY}`,
    examples: [['/opt/jdk1.8.0_292/bin/java', '/opt/jdk*/bin/java']],
  },
  {
    // Capistrano, Deployer and Ansistrano: releases/TIME or releases/NUMBER beside `current`.
    pattern: /(?<=\/releases\/)[^/]+(?=\/)/g,
    examples: [['/srv/shop/releases/20240131120000/bin/work', '/srv/shop/releases/*/bin/work']],
  },
  {
    // https://nixos.org/manual/nix/stable/store/store-path: 32 characters of a hash and a name.
    pattern: /(?<=^\/(?:nix|gnu)\/store\/)[0-9a-z]{32}(?=-)/g,
    examples: [
      ['/nix/store/0c0zwq3m8rqnmhr1yxn5gg2r1c8bh6k5-shop-1.2.3/bin/shop', '/nix/store/*-shop-*/bin/shop'],
    ],
  },
  {
    pattern: /(?<=\/)20\d\d-?(?:0[1-9]|1[0-2])-?(?:[0-2]\d|3[01])(?:[-_T.]?\d{4,6}Z?)?(?=\/)/g,
    examples: [['/srv/deploy/20240131-1200/run.sh', '/srv/deploy/*/run.sh']],
  },
  {
    // A Git commit, or a digest of a build.
    pattern: /(?<=\/)(?:[0-9a-f]{64}|[0-9a-f]{40})(?=\/|\.|$)/g,
    examples: [['/srv/shop/0123456789abcdef0123456789abcdef01234567/run.py', '/srv/shop/*/run.py']],
  },
  {
    // PyInstaller, Ansible and AppImage unpack themselves into a new directory at each start.
    pattern: /(?<=\/)(_MEI|ansible-tmp-|\.mount_[A-Za-z]{1,6})[0-9A-Za-z.-]{5,}(?=\/)/g,
    replacement: `$1${ANY}`,
    examples: [
      [
        '/root/.ansible/tmp/ansible-tmp-1700000000.1-23-45/AnsiballZ_x.py',
        '/root/.ansible/tmp/ansible-tmp-*/AnsiballZ_x.py',
      ],
    ],
  },
  {
    pattern:
      /(?<=^|[/ ])(python|pypy|perl|ruby|php|php-fpm|php-cgi|lua|node|nodejs)-?\d+(?:\.\d+)*(?=$|[/ ])/g,
    replacement: '$1',
    examples: [
      ['/usr/bin/python3.11', '/usr/bin/python'],
      ['/usr/lib/python3/dist-packages/x.py', '/usr/lib/python/dist-packages/x.py'],
      ['/usr/sbin/php-fpm8.2', '/usr/sbin/php-fpm'],
    ],
  },
  {
    pattern: VERSION,
    examples: [
      ['/opt/shop/1.2.3/bin/shop', '/opt/shop/*/bin/shop'],
      ['/opt/shop/v2.0/bin/shop', '/opt/shop/*/bin/shop'],
      ['/opt/kafka_2.13-3.6.0/libs/x', '/opt/kafka_*/libs/x'],
      ['/opt/spark-3.5.0-bin-hadoop3/bin/x', '/opt/spark-*-bin-hadoop3/bin/x'],
      ['/srv/app-1.2.3-SNAPSHOT.jar', '/srv/app-*.jar'],
      ['/usr/local/aws-cli/v2/2.15.0/dist/aws', '/usr/local/aws-cli/v2/*/dist/aws'],
      ['/root/.nvm/versions/node/v18.19.0/bin/node', '/root/.nvm/versions/node/*/bin/node'],
      ['/opt/shop-1.2.3-worker/run', '/opt/shop-*-worker/run'],
    ],
  },
];

/** An address, which has the form of a version with four numbers. */
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)$/;

/** A pattern of the configuration that was read. */
export interface ReleasePattern {
  readonly pattern: RegExp;
}

/**
 * Reads a pattern of the configuration, such as `/srv/{release}/bin`: `{release}` stands for the part that changes
 * and `*` for any other part of a name. The pattern matches a path and everything below it. Throws `RangeError`.
 */
export function releasePattern(text: string): ReleasePattern {
  if (!text.startsWith('/') || text.split('{release}').length !== 2) {
    throw new RangeError(
      `"${text}" is no release pattern. It must begin with / and have {release} once, as /srv/shop/{release}/bin does.`,
    );
  }
  const [before, after] = text.replace(/\/$/, '').split('{release}').map(expressionOf);
  return { pattern: new RegExp(`(?<=^${before})[^/]+?(?=${after}(?:/|$))`) };
}

function expressionOf(text: string): string {
  return text
    .split('*')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('[^/]+');
}

/** Returns a path with `*` in place of the parts that change with a release. */
export function stablePath(path: string, patterns: readonly ReleasePattern[] = []): string {
  return replaced(path, patterns).stable;
}

/** Returns the parts of a path that change with a release; null where there are none. */
export function releaseIn(path: string, patterns: readonly ReleasePattern[] = []): string | null {
  const { parts } = replaced(path, patterns);
  return parts.length === 0 ? null : [...new Set(parts)].join(' ');
}

function replaced(path: string, patterns: readonly ReleasePattern[]): { stable: string; parts: string[] } {
  const parts: string[] = [];
  let stable = path;
  const replace = (pattern: RegExp, replacement = ANY) => {
    stable = stable.replace(pattern, (...match) => {
      const text = String(match[0]);
      if (IPV4.test(text) || text === ANY) return text;
      parts.push(text.replace(/^\.?[a-z_]+[-_]?(?=\d)/i, '') || text);
      return replacement.replace('$1', String(match[1]));
    });
  };
  for (const { pattern } of patterns) replace(pattern);
  for (const { pattern, replacement } of RELEASE_RULES) replace(pattern, replacement);
  return { stable, parts };
}
