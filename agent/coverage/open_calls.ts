/**
 * Tracks calls that began and are not recorded yet: a killed agent loses them, so each coverage report counts
 * them.
 */
export class OpenCalls<Connection extends object> {
  /** When each request began, in microseconds since the Unix epoch, oldest first. */
  readonly #requests = new Map<Connection, number[]>();
  readonly #waiting = new Set<{ timeUs: number }>();

  /** Adds a request that was seen on the connection. */
  addRequest(connection: Connection, timeUs: number): void {
    const times = this.#requests.get(connection);
    if (times === undefined) this.#requests.set(connection, [timeUs]);
    else times.push(timeUs);
  }

  /** Removes the oldest request of the connection: it became a call. */
  completeRequest(connection: Connection): void {
    const times = this.#requests.get(connection);
    times?.shift();
    if (times?.length === 0) this.#requests.delete(connection);
  }

  /** Deletes a connection that ended: its calls were completed, or were given up and counted. */
  deleteConnection(connection: Connection): void {
    this.#requests.delete(connection);
  }

  /**
   * Adds a complete call, begun at `timeUs`, that waits for the name of its container, or for what its client
   * does next. Returns a function that ends that.
   */
  beginWait(timeUs: number): () => void {
    const waiting = { timeUs };
    this.#waiting.add(waiting);
    return () => {
      this.#waiting.delete(waiting);
    };
  }

  get count(): number {
    let sum = this.#waiting.size;
    for (const times of this.#requests.values()) sum += times.length;
    return sum;
  }

  /** Returns when the oldest of them began, in microseconds since the Unix epoch; null if there is none. */
  get sinceUs(): number | null {
    let sinceUs = Number.POSITIVE_INFINITY;
    for (const { timeUs } of this.#waiting) sinceUs = Math.min(sinceUs, timeUs);
    for (const times of this.#requests.values())
      for (const timeUs of times) sinceUs = Math.min(sinceUs, timeUs);
    return Number.isFinite(sinceUs) ? sinceUs : null;
  }
}
