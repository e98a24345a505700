/** Compares the answers of two stores, byte for byte. */

const AROUND = 200;

/** Returns a text for each question whose answers differ, or that only one of them was asked. */
export function differences(
  embedded: ReadonlyMap<string, string>,
  shared: ReadonlyMap<string, string>,
): string[] {
  return [...new Set([...embedded.keys(), ...shared.keys()])].flatMap((question) => {
    const [one, other] = [embedded.get(question), shared.get(question)];
    if (one === other) return [];
    if (one === undefined || other === undefined) {
      return [`${question}: only ${one === undefined ? 'PostgreSQL' : 'SQLite'} was asked this`];
    }
    let at = 0;
    while (one[at] === other[at]) at += 1;
    const excerpt = (text: string) => JSON.stringify(text.slice(Math.max(0, at - AROUND), at + AROUND));
    return [`${question}: differs at ${at}\n  SQLite     ${excerpt(one)}\n  PostgreSQL ${excerpt(other)}`];
  });
}
