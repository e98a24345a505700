/**
 * Recognises a title: the text that a daemon writes over its own arguments (setproctitle(3), `$0 =` in Perl and
 * Ruby, `process.title` in Node.js). A title tells what a process does just now, so it changes while the program
 * stays the same. Pure.
 */

/** Interpreters whose first argument is their own name unless it was overwritten. */
const INTERPRETER = /^(python|pypy|ruby|jruby|perl|node|nodejs|php)$/;

/**
 * Returns the title of a process; null where its arguments are still those that it was started with.
 * `program` is the base name of the executable without a version.
 *
 * A title is the only argument that is left. It holds a space or ends with a colon, or it is not the name of the
 * interpreter that runs. A path that names the executable is no title, even with spaces in it.
 */
export function titleIn(
  executable: string | null,
  program: string,
  args: readonly string[] | null,
): string | null {
  if (args === null || executable === null) return null;
  const [first, ...rest] = args;
  if (first === undefined || rest.some((arg) => arg.trim() !== '')) return null;
  const title = first.trim();
  if (title === '' || title === executable || title.startsWith('/')) return null;
  if (INTERPRETER.test(program)) return title.startsWith(program) && !/[\s:]/.test(title) ? null : title;
  return /\s|:$/.test(title) ? title : null;
}

/**
 * Returns the part of a title that does not change: its first word without a version or a number, and a name in
 * brackets at its end. Examples: `puma 5.6.4 (tcp://0.0.0.0:3000) [shop]` gives `puma [shop]`,
 * `sidekiq 6.5.1 shop [3 of 10 busy]` gives `sidekiq`. Returns null for a title without a word.
 */
export function programInTitle(title: string): string | null {
  const word = /^[^\p{L}]*([\p{L}][\w./@+-]*)/u
    .exec(title)?.[1]
    ?.replace(/[-_.@]?v?\d[\d.]*$/, '')
    .replace(/[-_.@+/]+$/, '');
  if (!word) return null;
  const name = /\[([\p{L}_][\p{L}_.:/-]*)\]\s*$/u.exec(title)?.[1];
  return name === undefined ? word : `${word} [${name}]`;
}
