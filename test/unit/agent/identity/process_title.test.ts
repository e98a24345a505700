/**
 * Titles that daemons write over their arguments. The forms are those of the projects' sources: gunicorn
 * (util._setproctitle), puma (Runner#title), sidekiq (Launcher#heartbeat), resque (Worker#procline), celery
 * (platforms.set_process_title), nginx (ngx_setproctitle), postgres (ps_status.c), sshd (setproctitle), unicorn
 * (HttpServer#proc_name), Node.js (process.title).
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { programInTitle } from '../../../../agent/identity/process_title.ts';
import { scriptOf, titleOf } from '../../../../agent/identity/script.ts';

const titles: [executable: string, title: string, script: string | null][] = [
  ['/usr/bin/python3.11', 'gunicorn: master [shop]', 'gunicorn [shop]'],
  ['/usr/bin/python3.11', 'gunicorn: worker [shop.wsgi:app]', 'gunicorn [shop.wsgi:app]'],
  ['/usr/bin/ruby3.1', 'puma: cluster worker 0: 1234 [shop]', 'puma [shop]'],
  ['/usr/bin/ruby3.1', 'puma 5.6.4 (tcp://0.0.0.0:3000) [shop]', 'puma [shop]'],
  ['/usr/bin/ruby', 'sidekiq 6.5.1 shop [3 of 10 busy]', 'sidekiq'],
  ['/usr/bin/ruby', 'resque-2.0.0: Waiting for mail,*', 'resque'],
  ['/usr/bin/ruby', 'unicorn worker[3] -c config/unicorn.rb -E production -D', 'unicorn'],
  ['/usr/bin/ruby', 'delayed_job.0', 'delayed_job'],
  ['/usr/bin/python3', '[celeryd: celery@web-1:MainProcess] -active- (worker)', 'celeryd'],
  ['/usr/bin/node', 'shop-api', 'shop-api'],
  ['/usr/bin/perl', 'spamd child', 'spamd'],
  ['/usr/sbin/nginx', 'nginx: worker process', null],
  ['/usr/lib/postgresql/15/bin/postgres', 'postgres: main: walwriter', null],
  ['/usr/sbin/sshd', 'sshd: alice@pts/0', null],
];
const started: [executable: string, args: string[]][] = [
  ['/usr/bin/python3.11', ['python3']],
  ['/usr/bin/node', ['node']],
  ['/usr/bin/bash', ['-bash']],
  ['/usr/bin/sleep', ['sleep', '1']],
  ['/opt/My App/run', ['/opt/My App/run']],
  ['/usr/sbin/cron', ['cron', '']],
  ['/usr/bin/python3', ['python3', '/opt/my app.py']],
  ['/usr/sbin/nginx', ['nginx']],
];

describe('a title that a process has written over its arguments', () => {
  for (const [executable, title, script] of titles) {
    it(`${title} → ${script}`, () => {
      assert.equal(titleOf(executable, [title]), title);
      assert.equal(titleOf(executable, [title, '', '']), title, 'padded with NULs');
      assert.equal(titleOf(executable, [title, '     ']), title, 'padded with spaces, as Perl does');
      assert.equal(scriptOf(executable, [title], '/srv/app'), script);
    });
  }
  for (const [executable, args] of started) {
    it(`${args.join(' ')} is none`, () => assert.equal(titleOf(executable, args), null));
  }
  it('returns the same program for names with other numbers', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (a, b) => {
        for (const form of [
          (n: number) => `sidekiq 6.5.1 shop [${n} of 10 busy]`,
          (n: number) => `puma: cluster worker ${n}: ${n} [shop]`,
          (n: number) => `resque-${n}.0: Processing mail since ${n}`,
        ])
          assert.equal(programInTitle(form(a)), programInTitle(form(b)));
      }),
    );
  });
  it('never makes anything but an interpreter another workload', () => {
    fc.assert(
      fc.property(fc.string(), (title) => {
        assert.equal(scriptOf('/usr/sbin/nginx', [title], null), null);
        assert.equal(scriptOf('/opt/evil', [title, '/opt/benign.sh'], null), null);
      }),
    );
  });
});
