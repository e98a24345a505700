/** Calls that began and are not recorded yet: an agent that is killed loses them, and its last report must say so. */
export class OpenCalls<Connection extends object> {
  readonly #asked = new Map<Connection, number>();
  #unnamed = 0;

  /** A request was seen on the connection. */
  asked(connection: Connection): void {
    this.#asked.set(connection, (this.#asked.get(connection) ?? 0) + 1);
  }

  /** A request and its response, or the lack of one, became a call. */
  completed(connection: Connection): void {
    const left = (this.#asked.get(connection) ?? 0) - 1;
    if (left > 0) this.#asked.set(connection, left);
    else this.#asked.delete(connection);
  }

  /** The connection ended: all its calls were complete, or were given up and counted. */
  closed(connection: Connection): void {
    this.#asked.delete(connection);
  }

  /** A complete call waits for the name of its container. Returns what to do when it is handed on. */
  waitsForName(): () => void {
    this.#unnamed++;
    return () => {
      this.#unnamed--;
    };
  }

  get count(): number {
    let sum = this.#unnamed;
    for (const asked of this.#asked.values()) sum += asked;
    return sum;
  }
}
