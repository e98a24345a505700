/** Metadata calls in scripts and in files that hold scripts: what is one, and what only looks like one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { findCalls, findCallsInScript } from '../../../../scan/callers/callers.ts';
import { type FileLanguage, languageOf } from '../../../../scan/callers/language_of.ts';

const U = 'http://169.254.169.254/latest/meta-data/instance-id';
const PUT =
  'TOKEN=$(curl -sf -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" http://169.254.169.254/latest/api/token) || exit 1';
const UNCHECKED = PUT.replace(' || exit 1', '');
const HEADER = '-H "X-aws-ec2-metadata-token: $TOKEN"';

/** The last column has a letter for each call: `r` request, `a` address, `c` client, `u` unchecked token. */
type Row = readonly [why: string, text: string, kinds: string];

const ROWS: Partial<Record<FileLanguage, readonly Row[]>> = {
  shell: [
    ['curl', `curl ${U}`, 'r'],
    ['curl without a scheme', 'curl 169.254.169.254/latest/user-data', 'r'],
    ['wget', `wget -q -O - ${U}`, 'r'],
    ['httpie', `http ${U}`, 'r'],
    ['aria2', `aria2c ${U}`, 'r'],
    ['busybox', `busybox wget -qO- ${U}`, 'r'],
    ['absolute path', `/usr/bin/curl -s ${U}`, 'r'],
    ['sudo and timeout', `sudo timeout 5 curl ${U}`, 'r'],
    ['command substitution', `ID=$(curl -s ${U})`, 'r'],
    ['quoted command substitution', `ID="$(curl -s ${U} | cut -d: -f1)"`, 'r'],
    ['backticks', `ID=\`wget -qO- ${U}\``, 'r'],
    ['nested substitution', `aws x --id "$(echo "$(curl -s ${U})")"`, 'r'],
    ['condition', `if curl -sf ${U}; then echo yes; fi`, 'r'],
    ['loop', `until curl -s ${U}; do sleep 1; done`, 'r'],
    [
      'pipeline',
      `curl -s http://169.254.169.254/latest/dynamic/instance-identity/document | jq -r .region`,
      'r',
    ],
    ['function body', `f() {\n  curl -s ${U}\n}\nf`, 'r'],
    ['argument of a function that calls', `get() { curl -s "$1"; }\nget ${U}`, 'r'],
    ['case', `case $x in\n  a) curl ${U} ;;\nesac`, 'r'],
    ['subshell', `(cd /; curl ${U})`, 'r'],
    ['IPv6', 'curl -g "http://[fd00:ec2::254]/latest/meta-data/"', 'r'],
    ['IPv6 written out', 'curl -g "http://[fd00:0ec2:0:0:0:0:0:254]/latest/meta-data/"', 'r'],
    ['name', 'curl http://instance-data/latest/meta-data/', 'r'],
    ['name of the VPC', 'curl http://instance-data.ec2.internal/latest/meta-data/', 'r'],
    ['decimal number', 'curl http://2852039166/latest/meta-data/', 'r'],
    ['hexadecimal number', 'curl http://0xA9FEA9FE/latest/meta-data/', 'r'],
    ['dated version', 'curl http://169.254.169.254/2009-04-04/meta-data/', 'r'],
    ['variable', `URL=http://169.254.169.254/latest\ncurl -s $URL/meta-data/`, 'r'],
    ['variable of a variable', 'IP=169.254.169.254\nURL="http://${IP}/latest"\ncurl "$URL/user-data"', 'r'],
    ['default of a variable', 'curl "${IMDS:-http://169.254.169.254}/latest/user-data"', 'r'],
    ['continued lines', `curl \\\n  -s \\\n  ${U}`, 'r'],
    ['Windows line ends', `curl \\\r\n  ${U}\r\n`, 'r'],
    ['sh -c', `sh -c "curl -s ${U}"`, 'r'],
    ['ssh', `ssh host 'curl -s ${U}'`, 'r'],
    ['alias', `alias id='curl -s ${U}'`, 'r'],
    ['here-document that becomes a script', `cat > /x.sh <<'EOF'\n#!/bin/sh\ncurl ${U}\nEOF`, 'r'],
    ['echo into a script', `echo "curl ${U}" >> /etc/rc.local`, 'r'],
    ['Python in a here-document', `python3 - <<EOF\nimport requests\n# ${U}\nrequests.get("${U}")\nEOF`, 'r'],
    ['Python in an argument', `python -c 'import urllib2; print urllib2.urlopen("${U}").read()'`, 'r'],
    ['/dev/tcp', 'exec 3<>/dev/tcp/169.254.169.254/80', 'r'],
    ['nc', 'printf "GET /latest/meta-data/ HTTP/1.0\\r\\n\\r\\n" | nc 169.254.169.254 80', 'r'],
    ['apostrophe in a comment before it', `# don't\ncurl ${U} # isn't`, 'r'],
    ['apostrophe in text before it', `echo don't; curl ${U}`, 'r'],
    ['token asked for and not sent', `${PUT}\ncurl ${U}`, 'r'],
    ['fallback of its own', `${PUT}\nif [ -n "$TOKEN" ]; then curl ${HEADER} ${U}; else curl ${U}; fi`, 'r'],
    ['fallback behind ||', `${PUT}\ncurl -f ${HEADER} ${U} || curl -f ${U}`, 'r'],
    ['two calls', `curl ${U}\ncurl ${U}`, 'rr'],
    ['exported base for another program', 'export IMDS=http://169.254.169.254/latest', 'a'],
    ['argument of an unknown program', `./probe --url ${U}`, 'a'],
    ['s3fs', 's3fs bucket /mnt -o iam_role=auto', 'c'],
    ['s3fs, IMDSv1 only', 's3fs bucket /mnt -o iam_role=r,imdsv1only', 'c'],
    ['with a token', `${PUT}\ncurl ${HEADER} ${U}`, ''],
    ['wget with a token', `wget --header="X-aws-ec2-metadata-token: $T" -qO- ${U}`, ''],
    ['token in lower case', `curl -H "x-aws-ec2-metadata-token: $T" ${U}`, ''],
    ['header in a variable', `H="X-aws-ec2-metadata-token: $T"\ncurl -H "$H" ${U}`, ''],
    ['header in an array', `H=(-H "X-aws-ec2-metadata-token: $T")\ncurl "\${H[@]}" ${U}`, ''],
    ['header set on one way', `H=""\n[ -n "$T" ] && H="X-aws-ec2-metadata-token: $T"\ncurl -H "$H" ${U}`, ''],
    [
      'function that sends the token',
      `get() { curl ${HEADER} "http://169.254.169.254/latest/$1"; }\nget meta-data/instance-id`,
      '',
    ],
    ['URL for a function that sends the token', `get() { curl ${HEADER} "$1"; }\nget ${U}`, ''],
    [
      'options of the caller, in a file that sends tokens',
      `${PUT}\nget() { curl "$@" ${U}; }\nget ${HEADER}`,
      '',
    ],
    ['token request alone', PUT, ''],
    ['comment', `# curl ${U}`, ''],
    ['comment behind code', `true # curl ${U}`, ''],
    ['printed hint', `echo "Run: curl ${U}"`, ''],
    ['printed hint, unquoted', `echo curl ${U}`, ''],
    ['no proxy', 'export NO_PROXY=169.254.169.254,localhost', ''],
    ['curl --noproxy', 'curl --noproxy 169.254.169.254 https://example.com', ''],
    ['firewall', 'iptables -A OUTPUT -d 169.254.169.254/32 -j DROP', ''],
    ['firewall without a prefix length', 'iptables -A OUTPUT -d 169.254.169.254 -j DROP', ''],
    ['route', 'ip route add 169.254.169.254 dev eth0', ''],
    ['ping', 'ping -c1 169.254.169.254', ''],
    ['comparison', '[ "$host" = "169.254.169.254" ] && exit 1', ''],
    ['search', 'grep -r "http://169.254.169.254/latest" src', ''],
    ['ECS task credentials', 'curl http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI', ''],
    ['longer number', 'curl http://169.254.169.2540/', ''],
    ['Google', 'curl -H "Metadata-Flavor: Google" http://169.254.169.254/computeMetadata/v1/', ''],
    ['Google with a base', 'curl -H "Metadata-Flavor: Google" $BASE http://169.254.169.254/$P', ''],
    ['Azure', 'curl -H Metadata:true "http://169.254.169.254/metadata/instance?api-version=2021-02-01"', ''],
    ['DigitalOcean', 'curl http://169.254.169.254/metadata/v1/id', ''],
    ['Hetzner', 'curl http://169.254.169.254/hetzner/v1/metadata', ''],
    ['Oracle', 'curl http://169.254.169.254/opc/v1/instance/', ''],
    ['ec2-metadata, which asks for a token', 'ec2-metadata -i', ''],
    ['token that is not checked', `${UNCHECKED}\ncurl ${HEADER} ${U}`, 'u'],
    ['token that is not checked, used twice', `${UNCHECKED}\ncurl ${HEADER} ${U}\ncurl ${HEADER} ${U}`, 'u'],
    [
      'token with a time limit that is not checked',
      `${UNCHECKED.replace('-sf', '-s -m 2')}\ncurl ${HEADER} ${U}`,
      'u',
    ],
    ['token request that hangs instead', `${UNCHECKED.replace('-sf', '-s')}\ncurl ${HEADER} ${U}`, ''],
    ['set -e', `set -eu\n${UNCHECKED}\ncurl ${HEADER} ${U}`, ''],
    ['shebang with -e', `#!/bin/bash -e\n${UNCHECKED}\ncurl ${HEADER} ${U}`, ''],
    ['test of the variable', `${UNCHECKED}\n[ -z "$TOKEN" ] && exit 1\ncurl ${HEADER} ${U}`, ''],
    [
      'wget, which was not measured',
      `${UNCHECKED}\nwget --header="X-aws-ec2-metadata-token: $TOKEN" ${U}`,
      '',
    ],
  ],
  dockerfile: [
    ['RUN', `FROM debian:12\nRUN curl -s ${U}`, 'r'],
    [
      'continued RUN with a comment in it',
      `FROM x\nRUN apt-get update \\\n  # it's needed\n  && curl -s ${U} \\\n  && true`,
      'r',
    ],
    ['RUN with options', `FROM x\nRUN --mount=type=cache,target=/c --network=host curl ${U}`, 'r'],
    ['here-document', `FROM x\nRUN <<EOF\ncurl ${U}\nEOF`, 'r'],
    ['file from a here-document', `FROM x\nCOPY <<EOF /x.sh\ncurl ${U}\nEOF\nRUN true`, 'r'],
    ['CMD in exec form', `FROM x\nCMD ["curl", "-s", "${U}"]`, 'r'],
    ['CMD with a shell in exec form', `FROM x\nCMD ["sh", "-c", "curl -s ${U}"]`, 'r'],
    ['HEALTHCHECK', `FROM x\nHEALTHCHECK --interval=5s CMD curl -f ${U} || exit 1`, 'r'],
    ['ENV and RUN', `FROM x\nENV URL=${U}\nRUN curl $URL`, 'r'],
    ['old form of ENV', `FROM x\nENV URL ${U}\nRUN curl $URL`, 'r'],
    ['ENV for the program', `FROM x\nENV METADATA_URL=${U}\nCMD ["/app"]`, 'a'],
    ['ADD', `FROM x\nADD ${U} /id`, 'r'],
    ['ONBUILD', `FROM x\nONBUILD RUN curl ${U}`, 'r'],
    ['lower case', `from x\nrun curl ${U}`, 'r'],
    ['comment', `FROM x\n# RUN curl ${U}\nRUN true`, ''],
    ['LABEL', `FROM x\nLABEL usage="curl ${U}"`, ''],
    ['with a token', `FROM x\nRUN ${PUT} && curl ${HEADER} ${U}`, ''],
    ['no proxy', 'FROM x\nENV NO_PROXY=169.254.169.254', ''],
  ],
  systemd: [
    ['ExecStart', `[Service]\nExecStart=/usr/bin/curl -s ${U}\n`, 'r'],
    ['prefix characters', `[Service]\nExecStartPre=-/usr/bin/curl -s ${U}\n`, 'r'],
    ['shell', `[Service]\nExecStart=/bin/sh -c 'curl -s ${U} > /run/id'\n`, 'r'],
    ['continued', `[Service]\nExecStart=/usr/bin/curl \\\n  -s ${U}\n`, 'r'],
    [
      'environment and command',
      `[Service]\nEnvironment="URL=${U}" "A=b"\nExecStart=/usr/bin/curl $URL\n`,
      'r',
    ],
    ['environment for the program', `[Service]\nEnvironment=METADATA=${U}\nExecStart=/app\n`, 'a'],
    ['mount of s3fs', '[Mount]\nWhat=bucket\nType=fuse.s3fs\nOptions=_netdev,iam_role=auto\n', 'c'],
    ['comment', `[Service]\n# ExecStart=/usr/bin/curl ${U}\n; ${U}\n`, ''],
    ['IPAddressDeny', '[Service]\nIPAddressDeny=169.254.169.254\n', ''],
    ['description', `[Unit]\nDescription=curl ${U}\n`, ''],
  ],
  hcl: [
    [
      'user data',
      `resource "aws_instance" "x" {\n  user_data = <<-EOT\n    #!/bin/bash\n    curl ${U}\n  EOT\n}\n`,
      'r',
    ],
    [
      'cloud-init in user data',
      `locals {\n  ud = <<EOT\n#cloud-config\nruncmd:\n  - curl ${U}\nEOT\n}\n`,
      'r',
    ],
    [
      'PowerShell in user data',
      `x = <<EOT\n<powershell>\nInvoke-RestMethod -Uri ${U}\n</powershell>\nEOT\n`,
      'r',
    ],
    ['variable of the shell', `x = <<EOT\nURL=${U}\ncurl "$\${URL}"\nEOT\n`, 'r'],
    ['inline of a provisioner', `inline = ["sudo yum -y update", "curl -s \\"${U}\\""]\n`, 'r'],
    ['string with line breaks', `user_data = "#!/bin/bash\\ncurl ${U}\\n"\n`, 'r'],
    ['comment', `# curl ${U}\n// curl ${U}\n/* curl ${U} */\nx = 1\n`, ''],
    ['comment in user data', `x = <<EOT\n# curl ${U}\nEOT\n`, ''],
    ['with a token', `x = <<EOT\n${PUT}\ncurl ${HEADER} ${U}\nEOT\n`, ''],
    ['egress rule', 'cidr_blocks = ["169.254.169.254/32"]\n', ''],
    ['description', `description = "blocks ${U} for pods"\n`, ''],
  ],
  // Clients that never have a token: the table of known clients has the sources.
  javascript: [
    [
      'MetadataService of SDK v2',
      `const m = new AWS.MetadataService();\nm.request('/latest/meta-data/', done);`,
      'c',
    ],
    ['node-ec2-metadata', `const m = require('node-ec2-metadata');`, 'c'],
    ['node-ec2-metadata, import', `import m from 'node-ec2-metadata';`, 'c'],
    [
      'MetadataService of SDK v3',
      `import { MetadataService } from '@aws-sdk/ec2-metadata-service';\nnew MetadataService();`,
      '',
    ],
    ['credentials of SDK v2', 'new AWS.EC2MetadataCredentials();', ''],
    ['comment', '// new AWS.MetadataService()', ''],
  ],
  python: [
    ['boto 2', 'import boto.utils\nx = boto.utils.get_instance_metadata()', 'c'],
    ['boto 2, import', 'from boto.utils import get_instance_metadata', 'c'],
    ['boto3', 'import boto3\nboto3.client("s3")', ''],
    ['comment', '# boto.utils.get_instance_metadata()', ''],
  ],
  ruby: [
    ['SDK v1', "require 'aws-sdk-v1'", 'c'],
    ['SDK v3', "require 'aws-sdk-core'", ''],
  ],
  perl: [['VM::EC2', 'use VM::EC2::Instance::Metadata;', 'c']],
  fstab: [
    ['s3fs', 's3fs#bucket /mnt fuse _netdev,iam_role=auto 0 0', 'c'],
    ['type fuse.s3fs', 'bucket /mnt fuse.s3fs _netdev,imdsv1only,iam_role=r 0 0', 'c'],
    ['comment', '# s3fs#bucket /mnt fuse iam_role=auto', ''],
  ],
  yaml: [
    ['cloud-init runcmd', `#cloud-config\nruncmd:\n  - curl -s ${U} > /id\n  - echo done\n`, 'r'],
    ['cloud-init runcmd as a list', `#cloud-config\nruncmd:\n  - [curl, -s, "${U}"]\n`, 'r'],
    ['cloud-init runcmd as lines', `#cloud-config\nruncmd:\n  - - curl\n    - -s\n    - ${U}\n`, 'r'],
    [
      'cloud-init write_files',
      `#cloud-config\nwrite_files:\n  - path: /x\n    content: |\n      #!/bin/bash\n      curl ${U}\n`,
      'r',
    ],
    [
      'Python in write_files',
      `#cloud-config\nwrite_files:\n  - content: |\n      #!/usr/bin/env python3\n      import requests\n      requests.get("${U}")\n`,
      'r',
    ],
    ['here-document in a block', `bootcmd:\n  - |\n    cat > /x <<EOF\n    curl ${U}\n    EOF\n`, 'r'],
    ['Kubernetes command', `spec:\n  containers:\n    - command: ["sh", "-c", "curl -s ${U}"]\n`, 'r'],
    ['Kubernetes args block', `args:\n  - -c\n  - |\n    curl ${U}\n`, 'r'],
    ['workflow step', `steps:\n  - run: |\n      curl ${U}\n`, 'r'],
    ['single quotes', `runcmd:\n  - 'curl -s ''${U}'''\n`, 'r'],
    ['double quotes', `runcmd:\n  - "curl -s \\"${U}\\""\n`, 'r'],
    ['JSON', `{"scripts": {"start": "curl -s ${U} && node ."}}`, 'r'],
    ['JSON command', `{"command": ["curl", "-s", "${U}"]}`, 'r'],
    ['JSON with line breaks', `{"Fn::Base64": "#!/bin/sh\\ncurl ${U}\\n"}`, 'r'],
    ['template that is no YAML', `runcmd:\n  - curl {{ x }} ${U}\n{% if y %}\n  - true\n`, 'r'],
    ['comment', `runcmd:\n  # curl ${U}\n  - "true"\n`, ''],
    ['comment in a block', `runcmd:\n  - |\n    # curl ${U}\n    true\n`, ''],
    ['with a token', `runcmd:\n  - |\n    ${PUT}\n    curl ${HEADER} ${U}\n`, ''],
    ['Ansible uri', `- name: x\n  uri:\n    url: ${U}\n    return_content: yes\n`, 'r'],
    ['Ansible get_url', `- ansible.builtin.get_url: url=${U} dest=/x\n`, 'r'],
    [
      'Ansible uri with a token',
      `- uri:\n    url: "${U}"\n    headers:\n      X-aws-ec2-metadata-token: "{{ token.content }}"\n`,
      '',
    ],
    [
      'Ansible token request',
      `- uri:\n    url: http://169.254.169.254/latest/api/token\n    method: PUT\n    headers:\n      X-aws-ec2-metadata-token-ttl-seconds: 60\n`,
      '',
    ],
    ['setting for a program', `env:\n  - name: METADATA_URL\n    value: ${U}\n`, 'a'],
    ['sentence with the URL', `description: This blocks ${U} for pods\n`, ''],
    [
      'network policy',
      'egress:\n  - to:\n      - ipBlock:\n          cidr: 0.0.0.0/0\n          except: [169.254.169.254/32]\n',
      '',
    ],
    ['no proxy', 'env:\n  - name: NO_PROXY\n    value: 169.254.169.254,localhost\n', ''],
    ['block list', 'blocked: [localhost, 169.254.169.254]\n', ''],
  ],
};

const LETTERS = { r: 'request', a: 'address', c: 'client', u: 'unchecked_token' } as const;

for (const [language, rows] of Object.entries(ROWS) as [FileLanguage, readonly Row[]][]) {
  describe(`calls in ${language}`, () => {
    for (const [why, text, kinds] of rows) {
      test(`"${kinds}": ${why}`, () => {
        const found = findCalls(text, language);
        assert.deepEqual(
          found.map(({ kind }) => kind),
          [...kinds].map((letter) => LETTERS[letter as keyof typeof LETTERS]),
          JSON.stringify(found),
        );
        for (const site of found) assertInside(site, text);
        const shown = found.map(({ start, end }) => text.slice(start, end));
        for (const [index, part] of shown.entries()) {
          if (found[index]!.kind === 'client')
            assert.match(part, /iam_role=auto|imdsv1only|[Mm]etadata|aws-sdk-v1/);
        }
      });
    }
  });
}

function assertInside(
  site: { start: number; end: number; scopeStart: number; scopeEnd: number },
  text: string,
): void {
  const { start, end, scopeStart, scopeEnd } = site;
  assert.ok(
    0 <= scopeStart && scopeStart <= start && start < end && end <= scopeEnd && scopeEnd <= text.length,
    JSON.stringify(site),
  );
}

describe('position of a call', () => {
  const rows: [FileLanguage, string][] = [
    ['shell', `id=$(curl -s "${U}")`],
    ['dockerfile', `FROM x\nRUN true \\\n && curl -s "${U}"\n`],
    ['systemd', `[Service]\nExecStart=/bin/sh -c 'curl ${U}'\n`],
    ['yaml', `runcmd:\n  - "curl -s \\"${U}\\""\n`],
    ['yaml', `runcmd:\n  - |\n    curl ${U}\n`],
    ['yaml', `{"command": ["curl", "-s", "${U}"]}`],
  ];
  for (const [language, text] of rows) {
    test(`is the URL: ${JSON.stringify(text)}`, () => {
      const [site] = findCalls(text, language);
      assert.equal(text.slice(site!.start, site!.end), U);
    });
  }

  test('is shifted for a script inside a file', () => {
    const file = `resource "x" "y" {\n  user_data = <<-EOT\n    #!/bin/bash\n    curl ${U}\n  EOT\n}\n`;
    const start = file.indexOf('#!');
    const [site] = findCallsInScript(file.slice(start, file.indexOf('  EOT')), start);
    assert.equal(file.slice(site!.start, site!.end), U);
  });
});

describe('the language of a file', () => {
  const rows: [path: string, head: string, FileLanguage | null][] = [
    ['a/b.sh', '', 'shell'],
    ['a/run', '#!/usr/bin/env bash\n', 'shell'],
    ['a/run', '#!/usr/bin/python3\n', 'python'],
    ['a/run', '#!/usr/bin/env -S node --x\n', 'javascript'],
    ['user-data.txt', '#!/bin/bash\n', 'shell'],
    ['user_data.tpl', '#cloud-config\n', 'yaml'],
    ['userdata.sh.tpl', '', 'shell'],
    ['main.py.j2', '', 'python'],
    ['user-data', '<powershell>\n', 'powershell'],
    ['Dockerfile', '', 'dockerfile'],
    ['Dockerfile.prod', '', 'dockerfile'],
    ['prod.dockerfile', '', 'dockerfile'],
    ['x.service', '', 'systemd'],
    ['Makefile', '', 'shell'],
    ['Jenkinsfile', '', 'java'],
    ['Program.cs', '', 'csharp'],
    ['README.md', '#!/bin/sh\n', 'shell'],
    ['README.md', '', null],
    ['notes.txt', '', null],
    ['page.html', '', null],
    ['data', 'x', null],
  ];
  for (const [path, head, expected] of rows) {
    test(`${path} ${JSON.stringify(head)}: ${expected}`, () =>
      assert.equal(languageOf(path, head), expected));
  }
});

describe('any text', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      U,
      'curl ',
      '169.254.169.254',
      '"',
      "'",
      '`',
      '$(',
      ')',
      '(',
      '{',
      '}',
      '<<EOF',
      '\nEOF\n',
      '\n',
      '#',
    ),
    fc.constantFrom(
      '\\',
      '${',
      'x=',
      '$x',
      ';',
      '|',
      'RUN ',
      'ENV ',
      'ExecStart=',
      '- ',
      'a: ',
      '[',
      ']',
      '\r\n',
      '<<<',
      '>(',
      'f() {',
    ),
    fc.constantFrom(
      'X-aws-ec2-metadata-token: x',
      's3fs ',
      'iam_role=auto',
      'python -c ',
      'sh -c ',
      'echo ',
      '\t',
      '  ',
    ),
    fc.string({ maxLength: 5 }),
  );
  const languages: FileLanguage[] = ['shell', 'dockerfile', 'systemd', 'yaml', 'hcl', 'fstab'];

  test('is read without an error, and positions lie inside it', () => {
    fc.assert(
      fc.property(fc.constantFrom(...languages), fc.array(piece, { maxLength: 40 }), (language, pieces) => {
        const text = pieces.join('');
        for (const site of findCalls(text, language)) assertInside(site, text);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('a megabyte of one piece', () => {
  // Each of these took minutes, or seconds for every file, before there was a bound.
  const rows: [FileLanguage, string][] = [
    ['python', '"'],
    ['shell', '$'.concat('{')],
    ['shell', '<<A\n'],
    ['javascript', `x = '${U}'; `],
    ['shell', `curl ${HEADER} ${U}\n`],
  ];
  for (const [language, piece] of rows) {
    test(`${language} ${JSON.stringify(piece)}`, { timeout: 60_000 }, () => {
      const text = `${U}\n${piece.repeat(1_000_000 / piece.length)}`;
      for (const site of findCalls(text, language)) assertInside(site, text);
    });
  }
});
