/** Returns the items of all groups. */
export async function allOf<T>(groups: AsyncIterable<readonly T[]>): Promise<T[]> {
  const found: T[] = [];
  for await (const group of groups) found.push(...group);
  return found;
}
