/** Splits an absolute path before its last part, which may end in a slash. The directory of any other text is empty. */
export function splitPath(text: string): { directory: string; file: string } {
  const slash = text.startsWith('/') ? Math.max(0, text.lastIndexOf('/', text.length - 2)) : 0;
  return { directory: text.slice(0, slash), file: text.slice(slash) };
}
