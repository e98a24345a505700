/** Finds the systemd unit of a cgroup path. */
import type { SystemdFacts } from '../../protocol/call.ts';
import { maskPath } from '../secrets/mask.ts';

/**
 * Units that have processes; the characters are those of systemd.unit(5), `\` being how it writes others
 * (`\x2d`).
 */
const UNIT = /^[A-Za-z0-9:_.\\@-]+\.(?:service|scope|socket|mount|swap)$/;
const SLICE = /^[A-Za-z0-9:_.\\@-]+\.slice$/;
/** The name that systemd gives to the slice above all others (systemd.special(7)). */
const ROOT_SLICE = '-.slice';

/**
 * Returns the innermost unit of a path and the innermost slice above it: `/system.slice/ssh.service` is
 * `ssh.service` in `system.slice`, `/user.slice/user-1000.slice/user@1000.service/app.slice/foo.scope` is
 * `foo.scope` in `app.slice`. Names are left as systemd writes them (`dev-disk\x2dby.mount`): `systemctl
 * status` takes them in this form.
 *
 * @param elements a cgroup path's elements, outermost first.
 * Secrets are masked.
 *
 * @returns null where no element is systemd's. `unit` is null for a process directly in a slice.
 */
export function unitOf(elements: readonly string[]): SystemdFacts | null {
  let unit: string | null = null;
  let slice: string | null = null;
  /**
   * Slices met since the last unit: a unit that has units below it (user@.service, a machine) has slices of
   * its own.
   */
  let below: string | null = null;
  for (const element of elements) {
    // systemd puts `_` before names that the kernel would take for its own files (basic/cgroup-util.c,
    // cg_escape).
    const name = element.startsWith('_') ? element.slice(1) : element;
    if (SLICE.test(name)) below = name;
    else if (UNIT.test(name)) {
      unit = name;
      slice = below ?? ROOT_SLICE;
      below = null;
    }
  }
  if (unit === null) return below === null ? null : { unit: null, slice: maskPath(below) };
  return { unit: maskPath(unit), slice: slice && maskPath(slice) };
}
