/**
 * Reads the layout of a tracepoint's records from tracefs, where each kernel describes its own
 * (Documentation/trace/events.rst, "Event formats").
 */
import { closeSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { BpfUnavailable, isOlderThan } from './ebpf_failure.ts';
import { libc } from './libc.ts';

export interface TracepointFormat {
  /** Its number for perf_event_open(2). */
  id: number;
  /** Byte offset and size by the name of the field; an array counts as one field. */
  fields: ReadonlyMap<string, { offset: number; size: number }>;
}

/** systemd mounts the first; the second is there wherever debugfs is mounted. */
const MOUNT_POINTS = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing'];

// The same numbers on all machines; since Linux 5.2.
const SYS_FSOPEN = 430;
const SYS_FSCONFIG = 431;
const SYS_FSMOUNT = 432;
const CLOEXEC = 1;
const FSCONFIG_CMD_CREATE = 6;

/** Parses the text of a `format` file; null for other text. */
export function parseTracepointFormat(text: string): TracepointFormat | null {
  const id = Number(/^ID: (\d+)$/m.exec(text)?.[1]);
  const fields = new Map<string, { offset: number; size: number }>();
  for (const [, declaration, offset, size] of text.matchAll(
    /^\tfield:([^;]+);\s*offset:(\d+);\s*size:(\d+);/gm,
  )) {
    const name = /(\w+)(?:\[\w*\])?$/.exec(declaration!)?.[1];
    if (name !== undefined) fields.set(name, { offset: Number(offset), size: Number(size) });
  }
  return Number.isInteger(id) && fields.size > 0 ? { id, fields } : null;
}

/**
 * Reads the format of a tracepoint such as `sock/inet_sock_set_state`. Where tracefs is not mounted, a mount of our own
 * that nobody else sees is used for the moment of reading.
 * @throws BpfUnavailable when there is none, or when it must not be read.
 */
export function readTracepointFormat(event: string): TracepointFormat {
  const path = `events/${event}/format`;
  let refused: string | null = null;
  let isMounted = false;
  for (const mount of MOUNT_POINTS) {
    isMounted ||= hasFile(`${mount}/README`);
    const text = read(`${mount}/${path}`);
    if (typeof text === 'string') return parsed(event, text);
    if (text.code !== 'ENOENT') refused ??= text.code;
  }
  const own = mountTracefs();
  if (own !== null) {
    try {
      const text = read(`/proc/self/fd/${own}/${path}`);
      if (typeof text === 'string') return parsed(event, text);
      isMounted = true;
    } finally {
      closeSync(own);
    }
  }
  const kernel = release();
  if (isMounted && refused === null) {
    const isOld = isOlderThan(kernel, 4, 16);
    throw new BpfUnavailable(
      isOld ? 'kernel_too_old' : 'no_tracefs',
      isOld
        ? `Linux ${kernel} has no tracepoint ${event}: 4.16 or later is needed`
        : `the kernel (${kernel}) has no tracepoint ${event} (it was built without CONFIG_FTRACE, or it is locked down)`,
    );
  }
  throw new BpfUnavailable(
    'no_tracefs',
    `the format of the tracepoint ${event} cannot be read in ${MOUNT_POINTS.join(' or ')} (${refused ?? 'tracefs is not mounted'})`,
  );
}

function parsed(event: string, text: string): TracepointFormat {
  const format = parseTracepointFormat(text);
  if (format !== null) return format;
  throw new BpfUnavailable('failed', `the format of the tracepoint ${event} has an unknown form`);
}

function read(path: string): string | { code: string } {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    return { code: (error as NodeJS.ErrnoException).code ?? 'unknown' };
  }
}

function hasFile(path: string): boolean {
  return typeof read(path) === 'string';
}

/** Returns a descriptor of a tracefs that is mounted nowhere; null if the kernel refuses it. */
function mountTracefs(): number | null {
  const { close, fsconfig, fsmount, fsopen } = libc();
  const context = Number(fsopen(SYS_FSOPEN, Buffer.from('tracefs\0'), CLOEXEC));
  if (context < 0) return null;
  const isCreated = Number(fsconfig(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, null, null, 0)) === 0;
  const mount = isCreated ? Number(fsmount(SYS_FSMOUNT, context, CLOEXEC, 0)) : -1;
  close(context);
  return mount < 0 ? null : mount;
}
