/** Dependencies in each kind of manifest, and their judgement by the table of clients. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { LIMITS } from '../../../../scan/limits.ts';
import { judgeDependency } from '../../../../scan/manifests/judge.ts';
import { MANIFEST_KINDS, manifestKind } from '../../../../scan/manifests/kinds.ts';
import { fromPurl } from '../../../../scan/manifests/purl.ts';
import { manifestsReader } from '../../../../scan/manifests/reader.ts';
import { candidate } from '../../../../scan/recognise.ts';
import { SourceFile } from '../../../../scan/source_file.ts';

/** Expected: `name version`, or `name range <bound`, in order. */
const READ: readonly (readonly [path: string, text: string, ...dependencies: string[]])[] = [
  // npm documentation, "package-lock.json", lockfileVersion 1, 2 and 3.
  [
    'package-lock.json',
    '{"lockfileVersion":1,"dependencies":{"aws-sdk":{"version":"2.574.0"},"a":{"version":"1.0.0","dependencies":{"aws-sdk":{"version":"2.1.0"}}}}}',
    'aws-sdk 2.574.0',
    'a 1.0.0',
    'aws-sdk 2.1.0',
  ],
  [
    'package-lock.json',
    '{"lockfileVersion":3,"packages":{"":{"name":"x"},"node_modules/aws-sdk":{"version":"2.574.0"},"node_modules/a/node_modules/@aws-sdk/credential-provider-imds":{"version":"0.1.0-preview.1"}}}',
    'aws-sdk 2.574.0',
    '@aws-sdk/credential-provider-imds 0.1.0-preview.1',
  ],
  [
    'package-lock.json',
    '{"packages":{"node_modules/old":{"name":"aws-sdk","version":"2.574.0"},"node_modules/link":{"link":true}}}',
    'aws-sdk 2.574.0',
  ],
  ['npm-shrinkwrap.json', '{"dependencies":{"sdk":{"version":"npm:aws-sdk@2.574.0"}}}', 'aws-sdk 2.574.0'],
  // npm documentation, "package.json".
  [
    'package.json',
    '{"dependencies":{"aws-sdk":"2.574.0","a":"^1.2.3","b":">=1","c":"github:x/y","d":"~2.500.0 || ~2.510.0","e":"*"}}',
    'aws-sdk 2.574.0',
    'a ^1.2.3 <2.0.0',
    'b >=1',
    'd ~2.500.0 || ~2.510.0 <2.511.0',
    'e *',
  ],
  // Forms that yarn 1 and yarn 4 write.
  [
    'yarn.lock',
    '# yarn lockfile v1\n\naws-sdk@^2.500.0, aws-sdk@^2.574.0:\n  version "2.574.0"\n  resolved "x"\n\n"@aws-sdk/credential-provider-imds@^3.0.0":\n  version "3.0.0"\n',
    'aws-sdk 2.574.0',
    '@aws-sdk/credential-provider-imds 3.0.0',
  ],
  [
    'yarn.lock',
    '__metadata:\n  version: 8\n\n"aws-sdk@npm:^2.500.0":\n  version: 2.574.0\n  resolution: "aws-sdk@npm:2.574.0"\n',
    'aws-sdk 2.574.0',
  ],
  ['yarn.lock', '"sdk@npm:aws-sdk@^2.5.0":\n  version "2.574.0"\n', 'aws-sdk 2.574.0'],
  // Forms that pnpm 7, 8 and 9 write.
  [
    'pnpm-lock.yaml',
    'lockfileVersion: 5.4\n\npackages:\n\n  /aws-sdk/2.574.0:\n    resolution: {}\n  /@smithy/credential-provider-imds/2.0.1_x@1.0.0:\n    resolution: {}\n',
    'aws-sdk 2.574.0',
    '@smithy/credential-provider-imds 2.0.1',
  ],
  [
    'pnpm-lock.yaml',
    "lockfileVersion: '6.0'\n\npackages:\n\n  /aws-sdk@2.574.0:\n    resolution: {}\n  /@smithy/credential-provider-imds@2.0.1(x@1.0.0):\n    resolution: {}\n",
    'aws-sdk 2.574.0',
    '@smithy/credential-provider-imds 2.0.1',
  ],
  [
    'pnpm-lock.yaml',
    "lockfileVersion: '9.0'\n\npackages:\n\n  aws-sdk@2.574.0:\n    resolution: {}\n\n  '@smithy/credential-provider-imds@2.0.1':\n    resolution: {}\n\nsnapshots:\n\n  aws-sdk@2.574.0: {}\n",
    'aws-sdk 2.574.0',
    '@smithy/credential-provider-imds 2.0.1',
  ],
  // pip documentation, "Requirements File Format"; PEP 440; PEP 508.
  ['requirements.txt', 'boto==2.49.0\n', 'boto 2.49.0'],
  [
    'requirements.txt',
    'boto3 == 1.9.0  # pinned\n# boto==1\n-r other.txt\n--hash=x\nBotoCore[crt]==1.12.0 \\\n    --hash=sha256:x\n',
    'boto3 1.9.0',
    'BotoCore 1.12.0',
  ],
  [
    'requirements-dev.txt',
    'boto3>=1.9,<1.10\nboto3~=1.9.3\nboto3==1.9.*\nboto3\nboto3>=1.9; python_version > "3"\n',
    'boto3 >=1.9,<1.10 <1.10',
    'boto3 ~=1.9.3 <1.10',
    'boto3 ==1.9.* <1.10',
    'boto3 ',
    'boto3 >=1.9',
  ],
  ['requirements/base.txt', 'boto3<=1.10.24', 'boto3 <=1.10.24 <=1.10.24'],
  [
    'poetry.lock',
    '[[package]]\nname = "botocore"\nversion = "1.12.0"\ndescription = "x"\n\n[package.dependencies]\nname = "no"\nversion = "no"\n\n[metadata]\nversion = "1"\n',
    'botocore 1.12.0',
  ],
  [
    'uv.lock',
    'version = 1\n\n[[package]]\nname = "boto3"\nversion = "1.9.0"\nsource = { registry = "x" }\n',
    'boto3 1.9.0',
  ],
  [
    'Pipfile.lock',
    '{"default":{"boto3":{"version":"==1.9.0"}},"develop":{"boto":{"version":"==2.49.0"}}}',
    'boto3 1.9.0',
    'boto 2.49.0',
  ],
  // Go Modules Reference, "go.mod files".
  [
    'go.mod',
    'module x\n\ngo 1.22\n\nrequire github.com/aws/aws-sdk-go v1.25.0\n\nrequire (\n\tgithub.com/aws/aws-sdk-go-v2 v0.18.0 // indirect\n)\n',
    'github.com/aws/aws-sdk-go v1.25.0',
    'github.com/aws/aws-sdk-go-v2 v0.18.0',
  ],
  [
    'go.mod',
    'require github.com/aws/aws-sdk-go v1.50.0\nreplace github.com/aws/aws-sdk-go => github.com/aws/aws-sdk-go v1.25.0\n',
    'github.com/aws/aws-sdk-go v1.25.0',
  ],
  ['go.mod', 'require github.com/aws/aws-sdk-go v1.25.0\nreplace github.com/aws/aws-sdk-go => ../fork\n'],
  // Maven POM reference.
  [
    'pom.xml',
    '<project><dependencies><dependency><groupId>com.amazonaws</groupId><artifactId>aws-java-sdk-core</artifactId><version>1.11.600</version></dependency></dependencies></project>',
    'com.amazonaws:aws-java-sdk-core 1.11.600',
  ],
  [
    'pom.xml',
    '<project><properties><aws.version>1.11.600</aws.version></properties><dependencyManagement><dependencies><dependency><groupId>com.amazonaws</groupId><artifactId>aws-java-sdk-core</artifactId><version>${aws.version}</version></dependency></dependencies></dependencyManagement></project>',
    'com.amazonaws:aws-java-sdk-core 1.11.600',
  ],
  [
    'pom.xml',
    '<project><dependencies><!-- <dependency><groupId>a</groupId><artifactId>b</artifactId><version>1</version></dependency> --><dependency><groupId>a</groupId><artifactId>b</artifactId><version>[1.0,2.0)</version></dependency><dependency><groupId>a</groupId><artifactId>c</artifactId></dependency></dependencies></project>',
    'a:b [1.0,2.0) <2.0',
  ],
  // Gradle user manual, "Locking Versions".
  [
    'gradle.lockfile',
    '# comment\ncom.amazonaws:aws-java-sdk-core:1.11.600=runtimeClasspath\nempty=annotationProcessor\n',
    'com.amazonaws:aws-java-sdk-core 1.11.600',
  ],
  [
    'Gemfile.lock',
    'GEM\n  remote: x\n  specs:\n    aws-sdk-core (3.70.0)\n      aws-eventstream (~> 1.0)\n    nokogiri (1.16.0-x86_64-linux)\n',
    'aws-sdk-core 3.70.0',
    'nokogiri 1.16.0',
  ],
  [
    'composer.lock',
    '{"packages":[{"name":"aws/aws-sdk-php","version":"3.100.0"}],"packages-dev":[{"name":"a/b","version":"v1.0"}]}',
    'aws/aws-sdk-php 3.100.0',
    'a/b v1.0',
  ],
  // NuGet documentation, "PackageReference", "Central Package Management", "packages.config".
  [
    'app.csproj',
    '<Project><ItemGroup><PackageReference Include="AWSSDK.Core" Version="3.3.100" /><PackageReference Include="B"><Version>[1.0,2.0)</Version></PackageReference><PackageReference Include="C" Version="3.3.*" /><PackageReference Include="D" /></ItemGroup></Project>',
    'AWSSDK.Core 3.3.100',
    'B [1.0,2.0) <2.0',
    'C 3.3.* <3.4',
  ],
  [
    'Directory.Packages.props',
    '<Project><ItemGroup><PackageVersion Include="AWSSDK.Core" Version="[3.3.100]" /></ItemGroup></Project>',
    'AWSSDK.Core 3.3.100',
  ],
  [
    'packages.config',
    '<packages><package id="AWSSDK.Core" version="3.3.100" targetFramework="net48" /></packages>',
    'AWSSDK.Core 3.3.100',
  ],
  [
    'packages.lock.json',
    '{"version":1,"dependencies":{"net8.0":{"AWSSDK.Core":{"type":"Transitive","resolved":"3.3.100"}}}}',
    'AWSSDK.Core 3.3.100',
  ],
  [
    'Cargo.lock',
    '[[package]]\nname = "rusoto_credential"\nversion = "0.46.0"\nsource = "x"\n',
    'rusoto_credential 0.46.0',
  ],
  // CycloneDX 1.6 and SPDX 2.3, 3.0.
  [
    'bom.json',
    '{"bomFormat":"CycloneDX","components":[{"name":"boto3","version":"1.9.0","purl":"pkg:pypi/boto3@1.9.0","components":[{"purl":"pkg:npm/%40aws-sdk/credential-provider-imds@3.0.0"}]},{"name":"no purl"}]}',
    'boto3 1.9.0',
    '@aws-sdk/credential-provider-imds 3.0.0',
  ],
  [
    'sbom.spdx.json',
    '{"spdxVersion":"SPDX-2.3","packages":[{"name":"x","versionInfo":"1.25.0","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:golang/github.com/aws/aws-sdk-go@v1.25.0"}]}]}',
    'github.com/aws/aws-sdk-go v1.25.0',
  ],
  [
    'spdx3.json',
    '{"@graph":[{"type":"SpdxDocument"},{"type":"software_Package","software_packageUrl":"pkg:maven/com.amazonaws/aws-java-sdk-core@1.11.600?type=jar"}]}',
    'com.amazonaws:aws-java-sdk-core 1.11.600',
  ],
  ['other.json', '{"dependencies":{"aws-sdk":{"version":"2.574.0"}}}'],
  // Installations in scripts.
  [
    'install.sh',
    'pip3 install --user boto==2.49.0 requests\nnpm i -g aws-sdk@2.574.0\ngem install aws-sdk-v1 -v 1.67.0\ngo install github.com/aws/aws-sdk-go@v1.25.0\ncomposer require aws/aws-sdk-php:3.100.0\n# pip install boto==1\necho pip\n',
    'boto 2.49.0',
    'aws-sdk 2.574.0',
    'aws-sdk-v1 1.67.0',
    'github.com/aws/aws-sdk-go v1.25.0',
    'aws/aws-sdk-php 3.100.0',
  ],
  [
    'Dockerfile',
    'FROM python:3\nRUN apt-get update \\\n && pip install "boto3==1.9.0" \\\n && true\nRUN ["npm", "install", "aws-sdk@2.574.0"]\n# RUN pip install boto==1\n',
    'boto3 1.9.0',
    'aws-sdk 2.574.0',
  ],
];

describe('dependencies', () => {
  for (const [path, text, ...expected] of READ) {
    test(`of ${path}: ${expected.join(', ') || 'none'}`, () => {
      const found = manifestKind(path)!.read(text)!;
      const shown = found.map(({ name, version, range, below }) =>
        version !== null
          ? `${name} ${version}`
          : `${name} ${range}${below === null ? '' : ` <${below.inclusive ? '=' : ''}${below.version}`}`,
      );
      assert.deepEqual(shown, expected);
      for (const { start, end, scopeStart, scopeEnd, version } of found) {
        assert.ok(
          0 <= scopeStart && scopeStart <= start && start < end && end <= scopeEnd && scopeEnd <= text.length,
        );
        const place = text.slice(start, end);
        if (version !== null && !place.includes('pkg:') && !place.includes('${')) {
          assert.ok(place.includes(version) || place.includes('aws-sdk'), `${place} is not ${version}`);
        }
      }
    });
  }

  test('with a nesting that would end the parser are not read', () => {
    const text = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    assert.equal(manifestKind('package-lock.json')!.read(text), null);
  });

  test('before the error of a broken XML file are read', () => {
    const text =
      '<project><dependencies><dependency><groupId>a</groupId><artifactId>b</artifactId><version>1</version></dependency><broken';
    assert.equal(manifestKind('pom.xml')!.read(text)!.length, 1);
  });
});

describe('package URLs', () => {
  const rows: [string, string | null][] = [
    ['pkg:npm/aws-sdk@2.1.0', 'npm aws-sdk 2.1.0'],
    ['pkg:npm/%40smithy/x@1.0.0', 'npm @smithy/x 1.0.0'],
    ['pkg:npm/@smithy/x@1.0.0', 'npm @smithy/x 1.0.0'],
    ['pkg:golang/github.com/aws/aws-sdk-go@v1.2.3#sub', 'go github.com/aws/aws-sdk-go v1.2.3'],
    ['pkg:maven/a.b/c@1?type=jar', 'maven a.b:c 1'],
    ['pkg:pypi/boto3', 'pypi boto3 null'],
    ['pkg:deb/debian/curl@7', null],
    ['pkg:npm/%ZZ@1', 'npm %ZZ 1'],
    ['nothing', null],
  ];
  for (const [purl, expected] of rows) {
    test(purl, () => {
      const named = fromPurl(purl);
      assert.equal(named === null ? null : `${named.ecosystem} ${named.name} ${named.version}`, expected);
    });
  }
});

/** Sources of the releases: `known_clients/`, which names them beside each fact. */
const JUDGED: readonly (readonly [path: string, text: string, verdict: string])[] = [
  ['requirements.txt', 'boto==2.49.0', 'imdsv1-client error'],
  ['requirements.txt', 'boto', 'imdsv1-client error'],
  ['requirements.txt', 'botocore==1.13.24', 'imdsv1-client error'],
  ['requirements.txt', 'botocore==1.13.25', 'imdsv1-fallback warning'],
  ['requirements.txt', 'botocore==1.32.4', 'imdsv1-fallback note'],
  ['requirements.txt', 'botocore<1.13.25', 'imdsv1-client error'],
  ['requirements.txt', 'botocore<=1.13.25', 'imdsv1-fallback warning'],
  ['requirements.txt', 'botocore>=1.0', 'imdsv1-fallback note'],
  ['requirements.txt', 'requests==2.0', ''],
  ['package.json', '{"dependencies":{"aws-sdk":"2.574.0"}}', 'imdsv1-client error'],
  ['package.json', '{"dependencies":{"aws-sdk":"~2.574.0"}}', 'imdsv1-client error'],
  ['package.json', '{"dependencies":{"aws-sdk":"2.575.0"}}', 'imdsv1-fallback warning'],
  ['package.json', '{"dependencies":{"aws-sdk":"^2.1"}}', 'imdsv1-fallback note'],
  ['package.json', '{"dependencies":{"node-ec2-metadata":"*"}}', 'imdsv1-client error'],
  ['go.mod', 'require github.com/aws/aws-sdk-go v1.25.37', 'imdsv1-client error'],
  ['go.mod', 'require github.com/aws/aws-sdk-go v1.47.1', 'imdsv1-fallback warning'],
  ['go.mod', 'require github.com/aws/aws-sdk-go v1.47.2', 'imdsv1-fallback note'],
  [
    'pom.xml',
    '<project><dependencies><dependency><groupId>com.amazonaws</groupId><artifactId>aws-java-sdk-core</artifactId><version>1.11.677</version></dependency></dependencies></project>',
    'imdsv1-client error',
  ],
  [
    'pom.xml',
    '<project><dependencies><dependency><groupId>com.amazonaws</groupId><artifactId>aws-java-sdk-core</artifactId><version>${parent.aws}</version></dependency></dependencies></project>',
    'imdsv1-client warning',
  ],
  ['gradle.lockfile', 'com.amazonaws:aws-java-sdk-core:1.11.678=x', 'imdsv1-fallback note'],
  ['Gemfile.lock', '    aws-sdk-core (3.78.0)', 'imdsv1-client error'],
  ['composer.lock', '{"packages":[{"name":"aws/aws-sdk-php","version":"3.147.6"}]}', 'imdsv1-client error'],
  [
    'composer.lock',
    '{"packages":[{"name":"aws/aws-sdk-php","version":"dev-master"}]}',
    'imdsv1-client warning',
  ],
  ['packages.lock.json', '{"dependencies":{"net8.0":{"AWSSDK.Core":{"resolved":"4.0.0"}}}}', ''],
  [
    'bom.json',
    '{"bomFormat":"CycloneDX","components":[{"purl":"pkg:pypi/boto@2.49.0"}]}',
    'imdsv1-client error',
  ],
];

describe('judgement', () => {
  for (const [path, text, verdict] of JUDGED) {
    test(`of ${path} ${text.slice(0, 80)}: ${verdict || 'nothing'}`, () => {
      const judged = manifestKind(path)!.read(text)!.map(judgeDependency);
      assert.equal(judged[0] === null ? '' : `${judged[0]?.rule} ${judged[0]?.level}`, verdict);
    });
  }
});

describe('the reader', () => {
  const context = {
    limits: LIMITS,
    options: { variables: new Map(), variableFiles: [], today: '2026-01-01' },
    open: () => null,
  };

  test('leaves a manifest out beside its lock file', () => {
    const file = SourceFile.fromText('a/package.json', '{"dependencies":{"aws-sdk":"2.574.0"}}');
    const alone = manifestsReader.read([file], { ...context, list: () => ['a/package.json'] });
    const locked = manifestsReader.read([file], {
      ...context,
      list: () => ['a/package.json', 'a/yarn.lock'],
    });
    assert.equal(alone.findings.length, 1);
    assert.equal(locked.findings.length, 0);
  });

  test('reports a release once, and a file that cannot be parsed', () => {
    const twice = SourceFile.fromText('requirements.txt', 'boto==2.49.0\nboto==2.49.0\n');
    assert.equal(manifestsReader.read([twice], { ...context, list: () => [] }).findings.length, 1);
    const broken = SourceFile.fromText('package-lock.json', '[');
    assert.match(
      manifestsReader.read([broken], { ...context, list: () => [] }).problems[0]!.message,
      /no valid package-lock/,
    );
  });

  test('survives any text, with positions inside it', () => {
    const pieces = fc.oneof(
      fc.constantFrom(
        '{',
        '}',
        '"',
        ':',
        ',',
        '[',
        ']',
        '\n',
        '<',
        '>',
        '</',
        '/>',
        '=',
        '==',
        '@',
        '(',
        ')',
        '  ',
        '    ',
      ),
      fc.constantFrom(
        'boto==2.49.0',
        '"packages"',
        '"dependencies"',
        '"aws-sdk"',
        '"version"',
        '"2.1.0"',
        'dependency',
        '<project>',
      ),
      fc.constantFrom(
        '[[package]]\nname = "boto"\nversion = "1"\n',
        'packages:\n',
        '  /aws-sdk@2.1.0:',
        'require ',
        'pip install ',
        '<!DOCTYPE a [<!ENTITY b "c">]>',
        '&b;',
      ),
      fc.string({ maxLength: 4 }),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...MANIFEST_KINDS),
        fc.array(pieces, { maxLength: 30 }),
        ({ read }, parts) => {
          const text = parts.join('');
          for (const { start, end, scopeStart, scopeEnd } of read(text) ?? []) {
            assert.ok(
              0 <= scopeStart &&
                scopeStart <= start &&
                start < end &&
                end <= scopeEnd &&
                scopeEnd <= text.length,
            );
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('the reader takes', () => {
  const rows: [path: string, text: string, taken: boolean][] = [
    ['requirements.txt', 'boto==2.49.0', true],
    ['requirements.txt', 'flask==1.0', false],
    ['pom.xml', '<artifactId>aws-java-sdk-s3</artifactId>', true],
    ['app.csproj', '<PackageReference Include="awssdk.s3" Version="3.3.0" />', true],
    ['bom.json', '{"bomFormat":"CycloneDX","components":[{"purl":"pkg:pypi/boto@2"}]}', true],
    ['other.json', '{"boto":1}', false],
    ['readme.md', 'boto==2.49.0', false],
  ];
  for (const [path, text, taken] of rows) {
    test(`${path} with ${text}: ${taken}`, () =>
      assert.equal(manifestsReader.takes(candidate(path, Buffer.from(text))!), taken));
  }
});
