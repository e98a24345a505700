import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { scriptOf } from '../../../../agent/identity/script.ts';

const CWD = '/srv/app';
const cases: [executable: string, command: string, script: string | null][] = [
  ['/usr/bin/python3.11', 'python3 main.py --x', '/srv/app/main.py'],
  ['/usr/bin/python3.11', 'python3 -u -W ignore -X dev /opt/a.py', '/opt/a.py'],
  ['/usr/bin/python3.11', 'python3 -uWignore ./a.py', '/srv/app/a.py'],
  ['/usr/bin/python3.11', 'python3 -m http.server 80', 'http.server'],
  ['/usr/bin/python3.11', 'python3 -Bm gunicorn app:app', 'gunicorn'],
  ['/usr/bin/python3.11', 'python3 -mpip install x', 'pip'],
  ['/usr/bin/python3.11', 'python3 -c print(1)', null],
  ['/usr/bin/python3.11', 'python3 -', null],
  ['/usr/bin/python3.11', 'python3', null],
  ['/usr/bin/python2.7', 'python /usr/bin/aws s3 ls', '/usr/bin/aws'],
  ['/opt/pypy3', 'pypy3 x.py', '/srv/app/x.py'],
  ['/usr/bin/node', 'node server.js', '/srv/app/server.js'],
  ['/usr/bin/node', 'node --require ./a.cjs -r b --enable-source-maps dist/x.mjs', '/srv/app/dist/x.mjs'],
  ['/usr/bin/node', 'node --import=./a.mjs --inspect x.js', '/srv/app/x.js'],
  ['/usr/bin/node', 'node -e code', null],
  ['/usr/bin/deno', 'deno run --allow-net -c deno.json main.ts', '/srv/app/main.ts'],
  ['/usr/bin/deno', 'deno run https://x.example/y.ts', 'https://x.example/y.ts'],
  ['/usr/bin/deno', 'deno eval code', null],
  ['/root/bin/bun', 'bun run index.ts', '/srv/app/index.ts'],
  ['/root/bin/bun', 'bun index.ts', '/srv/app/index.ts'],
  ['/usr/bin/ruby3.1', 'ruby -I lib -rbundler/setup bin/app', '/srv/app/bin/app'],
  ['/usr/bin/ruby', 'ruby -ne code file', null],
  ['/usr/bin/perl', 'perl -w -Ilib x.pl', '/srv/app/x.pl'],
  ['/usr/bin/perl', 'perl -lne code', null],
  ['/usr/bin/perl', 'perl -MSocket -e code', null],
  ['/usr/bin/php8.2', 'php -d memory_limit=1G -c /etc/php.ini artisan queue', '/srv/app/artisan'],
  ['/usr/bin/php', 'php -f x.php', '/srv/app/x.php'],
  ['/usr/bin/php', 'php -r code', null],
  ['/usr/bin/bash', '/bin/bash /usr/local/bin/poll --fast', '/usr/local/bin/poll'],
  ['/usr/bin/bash', 'bash -euo pipefail run.sh', '/srv/app/run.sh'],
  ['/usr/bin/bash', 'bash +x -x run.sh', '/srv/app/run.sh'],
  ['/usr/bin/bash', 'bash -lc code', null],
  ['/usr/bin/bash', '-bash', null],
  ['/usr/bin/dash', 'sh -c code', null],
  ['/usr/bin/dash', 'sh -s arg', null],
  ['/usr/bin/zsh', 'zsh x.zsh', '/srv/app/x.zsh'],
  ['/usr/lib/jvm/bin/java', 'java -Xmx1g -cp a.jar:b.jar com.example.Main x', 'com.example.Main'],
  ['/usr/lib/jvm/bin/java', 'java -Dx=y -jar lib/app.jar --port 1', '/srv/app/lib/app.jar'],
  ['/usr/lib/jvm/bin/java', 'java --add-opens java.base/x=ALL-UNNAMED -m mod/cls', 'mod/cls'],
  ['/usr/share/dotnet/dotnet', 'dotnet App.dll --urls x', '/srv/app/App.dll'],
  ['/usr/share/dotnet/dotnet', 'dotnet exec --depsfile d.json App.dll', '/srv/app/App.dll'],
  ['/usr/share/dotnet/dotnet', 'dotnet run', null],
  ['/bin/busybox', 'sh x.sh', '/srv/app/x.sh'],
  ['/bin/busybox', '/bin/sh -e /docker-entrypoint.sh run', '/docker-entrypoint.sh'],
  ['/bin/busybox', 'busybox ash x.sh', '/srv/app/x.sh'],
  ['/bin/busybox', 'sh -c code', null],
  ['/bin/busybox', 'wget -q x.sh', null],
  ['/bin/busybox', 'busybox wget x.sh', null],
  [
    '/usr/lib/jvm/bin/java',
    'java -cp a org.apache.hadoop.util.RunJar j.jar x',
    'org.apache.hadoop.util.RunJar j.jar',
  ],
  [
    '/usr/lib/jvm/bin/java',
    'java -cp a org.apache.spark.deploy.SparkSubmit --master yarn --class com.example.Job job.jar',
    'org.apache.spark.deploy.SparkSubmit com.example.Job',
  ],
  [
    '/usr/lib/jvm/bin/java',
    'java -cp a org.apache.spark.deploy.SparkSubmit --master yarn s3://b/job.py x',
    'org.apache.spark.deploy.SparkSubmit s3://b/job.py',
  ],
  ['/usr/bin/curl', 'curl http://x/', null],
];

describe('the script behind an interpreter', () => {
  for (const [executable, command, script] of cases) {
    it(`${command} → ${script}`, () => assert.equal(scriptOf(executable, command.split(' '), CWD), script));
  }
  it('stays relative where the working directory is not known', () => {
    assert.equal(scriptOf('/usr/bin/python3', ['python3', 'a.py'], null), 'a.py');
  });
  it('is null without an executable or arguments', () => {
    assert.equal(scriptOf(null, ['python3', 'a.py'], CWD), null);
    assert.equal(scriptOf('/usr/bin/python3', null, CWD), null);
  });
  it('never shows code', () => {
    const executables = fc.constantFrom(...cases.map(([executable]) => executable));
    fc.assert(
      fc.property(executables, fc.array(fc.string(), { maxLength: 6 }), (executable, args) => {
        const script = scriptOf(executable, ['x', ...args], CWD);
        assert.ok(script === null || script.length > 0);
        const code = scriptOf(executable, ['x', '-c', 'CODE', ...args], CWD);
        if (/python|bash|dash|zsh/.test(executable)) assert.equal(code, null);
      }),
    );
  });
});
