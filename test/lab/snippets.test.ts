/**
 * Runs every snippet that is advised, in the language's own runtime, against the lab's metadata service. With
 * a token it prints the instance's id. In every other situation it ends by itself within 5 s, prints
 * nothing, and sends no request without a token, although the service would answer one.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { NO_PROXY, SNIPPETS, type SnippetName } from '../../known_clients/snippets.ts';
import type { Behaviour } from '../../lab/ground_truth.ts';
import { kernelHasIpv6, Lab } from '../../lab/lab.ts';
import { ip } from '../../lab/namespaces.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces';
const LIMIT_MS = 5000;

interface Runtime {
  /** Ends with exit code 0 where the runtime is there. */
  check: string[];
  file: string;
  /** The snippet as a program that prints the answer. */
  program: (code: string) => string;
  /** Compiles the program once. */
  compile?: (directory: string) => string[];
  run: (directory: string) => string[];
}

const RUNTIMES: Record<SnippetName, Runtime> = {
  shell: {
    check: ['curl', '--version'],
    file: 'a.sh',
    program: (code) => code,
    run: (at) => ['sh', join(at, 'a.sh')],
  },
  wget: {
    check: ['wget', '--version'],
    file: 'a.sh',
    program: (code) => code,
    run: (at) => ['sh', join(at, 'a.sh')],
  },
  python: {
    check: ['python3', '--version'],
    file: 'a.py',
    program: (code) => `${code}\nprint(answer)\n`,
    run: (at) => ['python3', join(at, 'a.py')],
  },
  requests: {
    check: ['python3', '-c', 'import requests'],
    file: 'a.py',
    program: (code) => `import requests\n${code}\nprint(answer.text)\n`,
    run: (at) => ['python3', join(at, 'a.py')],
  },
  javascript: {
    check: [process.execPath, '--version'],
    file: 'a.mjs',
    program: (code) => `${code}\nconsole.log(answer);\n`,
    run: (at) => [process.execPath, join(at, 'a.mjs')],
  },
  go: {
    check: ['go', 'version'],
    file: 'a.go',
    program: (code) =>
      `package main\n\nimport (\n"errors"\n"fmt"\n"io"\n"net/http"\n"os"\n"time"\n)\n\n${code}\n\nfunc main() {\nanswer, err := instanceID()\nif err != nil {\nfmt.Fprintln(os.Stderr, err)\nos.Exit(1)\n}\nfmt.Println(answer)\n}\n`,
    compile: (at) => ['go', 'build', '-o', join(at, 'a'), join(at, 'a.go')],
    run: (at) => [join(at, 'a')],
  },
  java: {
    check: ['javac', '-version'],
    file: 'A.java',
    program: (code) =>
      `import java.io.IOException;\nimport java.net.URI;\nimport java.net.http.*;\nimport java.time.Duration;\n\npublic class A {\npublic static void main(String[] arguments) throws Exception {\n${code}\nSystem.out.println(answer.body());\n}\n}\n`,
    compile: (at) => ['javac', '-d', at, join(at, 'A.java')],
    run: (at) => ['java', '-cp', at, 'A'],
  },
  ruby: {
    check: ['ruby', '--version'],
    file: 'a.rb',
    program: (code) => `${code}\nputs answer\n`,
    run: (at) => ['ruby', join(at, 'a.rb')],
  },
  php: {
    check: ['php', '--version'],
    file: 'a.php',
    // Warnings go to standard error, as with the settings for production.
    program: (code) => `<?php\nini_set('display_errors', 'stderr');\n${code}\necho $answer;\n`,
    run: (at) => ['php', join(at, 'a.php')],
  },
  perl: {
    check: ['perl', '-MHTTP::Tiny', '-e', '1'],
    file: 'a.pl',
    program: (code) => `${code}\nprint $answer->{content};\n`,
    run: (at) => ['perl', join(at, 'a.pl')],
  },
};
const NAMES = Object.keys(RUNTIMES) as SnippetName[];
const MISSING = NAMES.filter((name) => !works(RUNTIMES[name].check));

const SITUATIONS: readonly { name: string; behaviour: Partial<Behaviour>; isUnreachable?: boolean }[] = [
  { name: 'tokens are refused', behaviour: { tokenAnswer: 403 } },
  { name: 'the token request gets no answer (hop limit)', behaviour: { tokenAnswer: 'hang' } },
  { name: 'the service is off', behaviour: { httpEndpoint: 'disabled' } },
  { name: 'the service cannot be reached', behaviour: {}, isUnreachable: true },
];

function works([program, ...args]: string[]): boolean {
  return spawnSync(program!, args, { stdio: 'ignore', timeout: 60_000 }).status === 0;
}

describe('advised snippets', { skip }, () => {
  let lab: Lab;
  const durations = new Map<SnippetName, number>();
  const directoryOf = (name: SnippetName) => join(lab.home, `snippet-${name}`);
  const present = NAMES.filter((name) => !MISSING.includes(name));

  before(async () => {
    lab = await Lab.create({ name: 'snippets', ipv6: kernelHasIpv6() });
    for (const name of present) {
      const { file, program, compile } = RUNTIMES[name];
      mkdirSync(directoryOf(name));
      writeFileSync(join(directoryOf(name), file), program(SNIPPETS[name]));
      const [compiler, ...args] = compile?.(directoryOf(name)) ?? ['true'];
      const env = { ...process.env, GO111MODULE: 'off', GOFLAGS: '', GOCACHE: join(lab.home, 'gocache') };
      const { status, stderr } = spawnSync(compiler!, args, { env, encoding: 'utf8', timeout: 120_000 });
      assert.equal(status, 0, `${name}: ${stderr}`);
    }
  });
  after(() => lab?.close());

  /** Nobody listens at the proxy: whatever is sent there fails. */
  const env = { http_proxy: 'http://127.0.0.1:9', HTTP_PROXY: 'http://127.0.0.1:9', NODE_USE_ENV_PROXY: '1' };

  for (const name of MISSING) {
    it(`in ${name}`, { skip: `${RUNTIMES[name].check.join(' ')} does not run here` }, () => {});
  }

  it('print the answer, where tokens are required', async () => {
    await lab.metadata.set({ httpTokens: 'required' });
    for (const name of present) {
      const { status, stdout, stderr, startedAt, endedAt } = await lab.run(
        RUNTIMES[name].run(directoryOf(name)),
        { env },
      );
      assert.equal(status, 0, `${name}: ${stderr}`);
      assert.match(stdout.trim(), /^i-[0-9a-f]{17}$/, name);
      durations.set(name, endedAt.getTime() - startedAt.getTime());
    }
    const log = await lab.metadata.log();
    assert.deepEqual(
      log.map(({ method, status }) => `${method} ${status}`),
      present.flatMap(() => ['PUT 200', 'GET 200']),
    );
  });

  it('let programs bypass a proxy by the advised NO_PROXY', async () => {
    const urls = [
      'http://169.254.169.254/latest/',
      ...(kernelHasIpv6() ? ['http://[fd00:ec2::254]/latest/'] : []),
    ];
    const clients: Partial<Record<SnippetName, (url: string) => string[]>> = {
      shell: (url) => ['curl', '-sgf', '--max-time', '9', url],
      wget: (url) => ['wget', '-qO-', '--tries=1', '--timeout=9', url],
      python: (url) => ['python3', '-c', `import urllib.request as r; r.urlopen("${url}", timeout=9).read()`],
      requests: (url) => ['python3', '-c', `import requests; requests.get("${url}", timeout=9)`],
      javascript: (url) => [process.execPath, '-e', `fetch("${url}").then((answer) => answer.text())`],
      perl: (url) => [
        'perl',
        '-MHTTP::Tiny',
        '-e',
        `exit !HTTP::Tiny->new(timeout => 9)->get("${url}")->{success}`,
      ],
    };
    await lab.metadata.reset();
    const runs = urls.flatMap((url) =>
      Object.entries(clients)
        .filter(([name]) => !MISSING.includes(name as SnippetName))
        .flatMap(([name, argv]) => [
          { name, url, argv: argv(url), isBypassed: false, more: {} },
          { name, url, argv: argv(url), isBypassed: true, more: { NO_PROXY, no_proxy: NO_PROXY } },
        ]),
    );
    await Promise.all(
      runs.map(async ({ name, url, argv, isBypassed, more }) => {
        const { status, stderr } = await lab.run(argv, { env: { ...env, ...more } });
        assert.equal(status === 0, isBypassed, `${name} ${url} ${isBypassed}: ${stderr}`);
      }),
    );
  });

  for (const { name: situation, behaviour, isUnreachable } of SITUATIONS) {
    it(`end without an answer, if ${situation}`, async () => {
      await lab.metadata.reset();
      await lab.metadata.set({ httpTokens: 'optional', ...behaviour });
      const before = (await lab.metadata.log()).length;
      const link = (state: string) => ip('-n', lab.metadataNamespace, 'link', 'set', 'eth0', state);
      if (isUnreachable) await link('down');
      await Promise.all(
        present.map(async (name) => {
          const { status, stdout, startedAt, endedAt } = await lab.run(
            RUNTIMES[name].run(directoryOf(name)),
            { env },
          );
          assert.notEqual(status, 0, name);
          assert.equal(stdout, '', name);
          // The start of the runtime, which takes long on a slow machine, is no part of the snippet.
          const waitedMs = endedAt.getTime() - startedAt.getTime() - durations.get(name)!;
          assert.ok(waitedMs < LIMIT_MS, `${name} took ${waitedMs} ms`);
        }),
      );
      if (isUnreachable) await link('up');
      const requests = (await lab.metadata.log()).slice(before);
      assert.deepEqual(
        requests.filter(({ method }) => method !== 'PUT'),
        [],
      );
      if (!isUnreachable) assert.equal(requests.length, present.length);
    });
  }
});
