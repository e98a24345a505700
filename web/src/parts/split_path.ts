/** Splits an absolute path before the slash of its last part. The directory of any other text is empty. */
export function splitPath(text: string): { directory: string; file: string } {
  const slash = text.startsWith('/') ? text.lastIndexOf('/') : 0;
  return { directory: text.slice(0, slash), file: text.slice(slash) };
}
