import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MASK, MAX_ARGS_CHARACTERS, maskArgs, maskPath, maskText } from '../../../../agent/secrets/mask.ts';

/** A secret that cannot be part of a template by chance. */
const secret = fc.stringMatching(/^Zq[A-Za-z0-9]{10,30}Q9$/);
/** With characters that shells, URLs and JSON give a meaning to. */
const nastySecret = fc.stringMatching(/^Zq[A-Za-z0-9@:/?&=,;!$%^*()<>{}|~+.'"\\ -]{6,20}Q9$/);
const name = fc.constantFrom(
  'password',
  'PASSWORD',
  'db_password',
  'passwd',
  'token',
  'API_KEY',
  'api-key',
  'apikey',
  'access-key',
  'AWS_SECRET_ACCESS_KEY',
  'aws_session_token',
  'client_secret',
  'credential',
  'auth',
  'private_key',
  'X-Auth-Token',
  'secretAccessKey',
);

/** No stretch of eight characters of the secret may be left. */
function leaks(masked: string, hidden: string): boolean {
  for (let at = 0; at + 8 <= hidden.length; at++) if (masked.includes(hidden.slice(at, at + 8))) return true;
  return false;
}

function neverLeaks(
  secrets: fc.Arbitrary<string>,
  command: (hidden: string, name: string) => string[],
): void {
  fc.assert(
    fc.property(secrets, name, (hidden, named) => {
      const masked = maskArgs(command(hidden, named));
      assert.ok(!masked.some((arg) => leaks(arg, hidden)), JSON.stringify(masked));
      assert.ok(masked.some((arg) => arg.includes(MASK)));
    }),
    { numRuns: 200 },
  );
}

describe('secrets in arguments', () => {
  const plain: Record<string, (hidden: string, name: string) => string[]> = {
    'option with =': (hidden, named) => ['app', `--${named}=${hidden}`, 'x'],
    'option and value': (hidden, named) => ['app', `--${named}`, hidden],
    'one dash': (hidden, named) => ['app', `-${named}`, hidden],
    environment: (hidden, named) => ['env', `${named}=${hidden}`, 'app'],
    'docker -e': (hidden, named) => ['docker', 'run', '-e', `${named}=${hidden}`, 'image'],
    'java -D': (hidden, named) => ['java', `-Dapp.${named}=${hidden}`, '-jar', 'x.jar'],
    header: (hidden, named) => ['curl', '-H', `${named}: ${hidden}`, 'http://169.254.169.254/'],
    JSON: (hidden, named) => ['curl', '-d', `{"user":"me","${named}":"${hidden}","x":1}`],
    'name as a word': (hidden) => ['aws', 'configure', 'set', 'aws_secret_access_key', hidden],
    'URL user info': (hidden) => ['psql', `postgres://me:${hidden}@db/x`],
    'curl -u': (hidden) => ['curl', '-u', `me:${hidden}`, 'http://x/'],
    'curl -u glued': (hidden) => ['curl', `-ume:${hidden}`, 'http://x/'],
    'mysql -p': (hidden) => ['mysql', '-uroot', `-p${hidden}`],
    'sudo sshpass -p': (hidden) => ['sudo', 'sshpass', '-p', hidden, 'ssh', 'host'],
    'redis-cli -a': (hidden) => ['/usr/bin/redis-cli', '-a', hidden, 'ping'],
    cookie: (hidden) => ['curl', '-b', `sid=${hidden}`, 'http://x/'],
  };
  for (const [what, command] of Object.entries(plain)) {
    it(`never shows: ${what}`, () => {
      neverLeaks(secret, command);
      if (what !== 'URL user info') neverLeaks(nastySecret, command);
    });
  }

  const words: Record<string, (hidden: string, name: string) => string[]> = {
    'query parameter': (hidden, named) => ['curl', `http://x/?a=1&${named}=${hidden}&b=2`],
    'sh -c, option': (hidden, named) => ['sh', '-c', `app --${named} ${hidden} | cat`],
    'sh -c, option with =': (hidden, named) => ['sh', '-c', `cd / && app --${named}="${hidden}" x`],
    'sh -c, variable': (hidden, named) => ['bash', '-ec', `export ${named}='${hidden}'; app`],
    'sh -c, header in double quotes': (hidden, named) => [
      'sh',
      '-c',
      `curl -H "${named}: ${hidden}" http://x/`,
    ],
    'sh -c, header in single quotes': (hidden, named) => [
      'sh',
      '-c',
      `curl -H'${named}: Custom ${hidden}' http://x/`,
    ],
    'sh -c, JSON': (hidden, named) => ['sh', '-c', `curl -d '{"${named}": "${hidden}"}' http://x/`],
    'sh -c, escaped JSON': (hidden, named) => [
      'sh',
      '-c',
      `curl -d "{\\"${named}\\": \\"${hidden}\\"}" http://x/`,
    ],
    'sh -c, JSON list': (hidden, named) => ['sh', '-c', `app '{"${named}": ["a", "${hidden}"]}'`],
    'sh -c, mysql': (hidden) => ['sh', '-c', `sleep 1; mysql -u root -p${hidden} < x`],
    'sh -c, curl -u': (hidden) => ['sh', '-c', `curl -s -u me:${hidden} http://x/`],
    'sh -c, URL': (hidden) => ['sh', '-c', `git clone https://me:${hidden}@host/x`],
    'python -c': (hidden, named) => ['python3', '-c', `connect(${named}="${hidden}", x=1)`],
    bearer: (hidden) => ['curl', '-H', `X-Whatever: Bearer ${hidden}`],
    'header glued to -H': (hidden) => ['curl', `-HX-aws-ec2-metadata-token: ${hidden}`, 'http://x/'],
    'header in odd case': (hidden) => ['curl', '-H', `x-AWS-EC2-metadata-TOKEN:${hidden}`],
    'authorization with spaces': (hidden) => [
      'curl',
      '-H',
      `Authorization: Digest a="b", response="${hidden}"`,
    ],
  };
  for (const [what, command] of Object.entries(words)) {
    it(`never shows: ${what}`, () => neverLeaks(secret, command));
  }

  it('knows keys and tokens by their look', () => {
    const key = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
    const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sflKxwRJSMeKKF2QT4';
    const session = `IQoJb3JpZ2luX2VjE${'a1B'.repeat(60)}`;
    const imds = `AQAEA${'Gk7_-x'.repeat(8)}==`;
    const masked = maskArgs(['app', key, jwt, session, imds, `AKIAIOSFODNN7EXAMPLE:${key}`]);
    assert.deepEqual(masked, ['app', MASK, MASK, MASK, MASK, `AKIA${MASK}MPLE:${MASK}`]);
  });

  it('leaves no secret at the end of arguments that were cut when they were read', () => {
    assert.deepEqual(maskArgs(['x', 'postgres://me:hunter2hun'], true), ['x', `postgres://${MASK}…`]);
    assert.deepEqual(maskArgs(['x', 'wJalrXUtnFEMI/K7MDENG'], true), ['x', `${MASK}…`]);
    assert.deepEqual(maskArgs(['x', '/usr/lib/jvm'], true), ['x', '/usr/lib/jvm…']);
  });
});

describe('what stays readable', () => {
  const kept = [
    ['curl', '-s', 'http://169.254.169.254/latest/api/token'],
    [
      'curl',
      '-X',
      'PUT',
      '-H',
      'X-aws-ec2-metadata-token-ttl-seconds: 21600',
      'http://169.254.169.254/latest/api/token',
    ],
    ['curl', 'http://169.254.169.254/latest/meta-data/iam/security-credentials/web-role'],
    [
      'curl',
      'http://169.254.169.254/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance',
    ],
    ['/usr/sbin/nginx', '-g', 'daemon off;'],
    ['ssh', '-p', '22', 'host'],
    ['mkdir', '-p', '/var/lib/app'],
    ['python3', '/opt/app/main.py', '--workers', '4'],
    ['git', 'show', 'da39a3ee5e6b4b0d3255bfef95601890afd80709'],
  ];
  for (const command of kept) it(command.join(' '), () => assert.deepEqual(maskArgs(command), command));

  it('the IMDSv2 idiom in a shell', () => {
    const code =
      'TOKEN=`curl -X PUT "http://169.254.169.254/latest/api/token" -H "X-aws-ec2-metadata-token-ttl-seconds: 21600"` && curl -H "X-aws-ec2-metadata-token: $TOKEN" http://169.254.169.254/latest/meta-data/';
    assert.equal(maskArgs(['sh', '-c', code])[2], code.replace('$TOKEN"', `${MASK}"`));
  });
});

describe('bounds', () => {
  it('keeps no more than the limit, and shows the cut', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 3000 }), { maxLength: 12 }), (args) => {
        const masked = maskArgs(args);
        const length = masked.join('').length;
        assert.ok(length <= MAX_ARGS_CHARACTERS + 2, String(length));
        if (length > MAX_ARGS_CHARACTERS) assert.ok(masked.at(-1)!.endsWith('…'));
      }),
    );
  });

  it('takes no more than 200 ms of processor time for the worst texts', () => {
    for (const piece of [
      'token',
      '://',
      'eyJ',
      '"token":',
      "'",
      '\\',
      'a',
      '-p ',
      'mysql ',
      'passw=',
      ' ',
      '://:@',
      'aB3/',
      '%41',
      '%2525',
      "''",
      '\\u002f',
      'AQAEA',
      'IQoJb3JpZ2lu ',
      'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY ',
      'xK9f_Qz3Lw-',
    ]) {
      const text = piece.repeat(Math.ceil(40_000 / piece.length));
      const before = process.threadCpuUsage();
      maskText(text, true);
      maskText(text);
      maskPath(text.slice(0, 8_192));
      const took = process.threadCpuUsage(before).user / 1_000;
      assert.ok(took < 200, `${JSON.stringify(piece)} took ${took} ms`);
    }
  });
});
