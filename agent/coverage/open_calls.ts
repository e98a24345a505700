/** Calls that began and are not recorded yet: an agent that is killed loses them, and its last report must say so. */
export class OpenCalls<Connection extends object> {
  /** When each of them began, in microseconds since 1970; oldest first. */
  readonly #asked = new Map<Connection, number[]>();
  readonly #unnamed = new Set<{ timeUs: number }>();

  /** A request was seen on the connection. */
  addRequest(connection: Connection, timeUs: number): void {
    const times = this.#asked.get(connection);
    if (times === undefined) this.#asked.set(connection, [timeUs]);
    else times.push(timeUs);
  }

  /** A request and its response, or the lack of one, became a call. */
  completeRequest(connection: Connection): void {
    const times = this.#asked.get(connection);
    times?.shift();
    if (times?.length === 0) this.#asked.delete(connection);
  }

  /** The connection ended: all its calls were complete, or were given up and counted. */
  deleteConnection(connection: Connection): void {
    this.#asked.delete(connection);
  }

  /** A complete call that began at `timeUs` waits for the name of its container. Returns what to do when it is handed on. */
  beginNameWait(timeUs: number): () => void {
    const waiting = { timeUs };
    this.#unnamed.add(waiting);
    return () => {
      this.#unnamed.delete(waiting);
    };
  }

  get count(): number {
    let sum = this.#unnamed.size;
    for (const times of this.#asked.values()) sum += times.length;
    return sum;
  }

  /** When the oldest of them began; null where there is none. */
  get sinceUs(): number | null {
    let sinceUs = Number.POSITIVE_INFINITY;
    for (const { timeUs } of this.#unnamed) sinceUs = Math.min(sinceUs, timeUs);
    for (const times of this.#asked.values()) for (const timeUs of times) sinceUs = Math.min(sinceUs, timeUs);
    return Number.isFinite(sinceUs) ? sinceUs : null;
  }
}
