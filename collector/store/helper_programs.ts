/**
 * Programs that are not the workload: they do what another program, a script or a person asks of them. Pure
 * tables. An operator adds helper programs with `helper_programs`.
 */

/**
 * Programs that fetch, by the name of their executable or script, without a version. A name that somebody's own
 * program could have, such as `fetch`, is not among them.
 */
export const HELPER_PROGRAMS: readonly string[] = [
  ...['curl', 'wget', 'wget2', 'aria2c', 'httpie', 'xh', 'lynx', 'w3m', 'lwp-request', 'lwp-download'],
  ...['nc', 'ncat', 'netcat', 'nc.openbsd', 'nc.traditional', 'socat', 'telnet', 'openssl'],
  ...['aws', 'ec2-metadata', 'ec2metadata'],
];

/** Programs that only start another one, which is their child. */
export const WRAPPERS: ReadonlySet<string> = new Set([
  ...[
    'sudo',
    'su',
    'runuser',
    'doas',
    'setpriv',
    'gosu',
    'su-exec',
    'chroot',
    'unshare',
    'nsenter',
    'ip',
    'bwrap',
  ],
  ...[
    'env',
    'nohup',
    'setsid',
    'timeout',
    'nice',
    'ionice',
    'chrt',
    'taskset',
    'numactl',
    'stdbuf',
    'unbuffer',
  ],
  ...[
    'xargs',
    'parallel',
    'find',
    'flock',
    'time',
    'watch',
    'script',
    'strace',
    'ltrace',
    'catchsegv',
    'setarch',
  ],
  ...[
    'run-parts',
    'chronic',
    'cronic',
    'logger',
    'systemd-cat',
    'tini',
    'docker-init',
    'dumb-init',
    'catatonit',
  ],
  ...['chpst', 'softlimit', 'envdir', 'setuidgid', 's6-setuidgid', 'prlimit', 'linux64', 'linux32', 'pipenv'],
]);

/** Shells. Without a script they run code that they were given, or what a person types. */
export const SHELLS = /^(bash|sh|dash|ash|zsh|ksh|ksh93|mksh|rbash|fish|tcsh|csh)$/;

/** Interpreters that may run code of their command line, and the options that say so. */
export const CODE_OPTIONS: readonly { program: RegExp; code: RegExp }[] = [
  { program: /^(python|pypy)$/, code: /^-([bBdEiIOPqsSuvx]*c.*|)$/ },
  { program: /^(perl)$/, code: /^-([acfilnpstTuUvwWX0-9]*[eE].*|)$/ },
  { program: /^(ruby|jruby)$/, code: /^-([aclnpswWS]*e.*|)$/ },
  { program: /^(node|nodejs|bun|deno)$/, code: /^(-[ep]|-pe|--eval|--print|eval|-)$/ },
  { program: /^(php)$/, code: /^(-r|--run|-R|-B|-)$/ },
  { program: /^(lua|luajit)$/, code: /^(-e|-)$/ },
];

export type StartedBy = 'cron' | 'unit' | 'container' | 'supervisor' | 'session' | 'unknown';

/** Programs that start others on behalf of a configuration or a person. The walk over the parents ends at them. */
const ROOTS: readonly [programs: RegExp, startedBy: StartedBy][] = [
  [/^(cron|crond|CRON|fcron|anacron|supercronic|dcron|bcron-sched|jobber)$/, 'cron'],
  [/^(systemd|init|upstart|openrc-run|start-stop-daemon|systemd-executor|runit|s6-svscan)$/, 'unit'],
  [
    /^(containerd-shim.*|docker-containerd-shim.*|conmon|conmonrs|runc|crun|youki|dockerd|containerd|lxc-start|systemd-nspawn)$/,
    'container',
  ],
  [
    /^(supervisord|runsv|runsvdir|s6-supervise|circusd|monit|svscan|supervise|god|bluepill|pebble)$/,
    'supervisor',
  ],
  [
    /^(sshd|sshd-session|sshd-auth|dropbear|login|agetty|getty|tmux|tmux: server|screen|SCREEN|atd|mosh-server|telnetd)$/,
    'session',
  ],
  [
    /^(ssm-session-worker|gnome-terminal-server|konsole|xterm|gdm-session-worker|sddm-helper|lightdm)$/,
    'session',
  ],
];

export function rootNamed(program: string): StartedBy | null {
  return ROOTS.find(([programs]) => programs.test(program))?.[1] ?? null;
}

/** Directories that everybody may write to. A program there is never taken for a helper: it names itself. */
const TEMPORARY = /^(\/tmp|\/var\/tmp|\/dev\/shm|\/run\/user|\/proc|\/memfd:|\/?memfd:)/;

export function isTrustedPlace(path: string): boolean {
  return path.startsWith('/') && !TEMPORARY.test(path);
}

/** Returns `python` for `/usr/bin/python3.11`, `nc.openbsd` for `/bin/nc.openbsd`. */
export function programName(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return name.replace(/^(python|pypy|perl|ruby|jruby|node|nodejs|php|lua|luajit)-?\d+(\.\d+)*$/, '$1');
}
