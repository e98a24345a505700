/** Keeps what a destination needs between rounds: its connections, and the times before which it is left alone. */
import type { DestinationRow } from '../admin/destination_row.ts';
import type { Failure } from './failure.ts';
import { openSafely, type SendOptions } from './send.ts';
import type { Sender } from './sender.ts';

export interface Link {
  id: string;
  /** The configuration that it was made for. */
  config: string;
  /** The failure where the configuration is wrong. */
  sender: Sender | Failure;
  /** Nothing is sent before this time. */
  holdUntilUs: number;
  /** Open alerts are not sent again before this time. */
  againUs: number;
}

export class Links {
  readonly #options: SendOptions;
  readonly #links = new Map<string, Link>();

  constructor(options: SendOptions) {
    this.#options = options;
  }

  /** A changed configuration gets connections of its own, and is tried at once. */
  async of(destination: DestinationRow): Promise<Link> {
    const known = this.known(destination);
    if (known !== null) return known;
    this.forget(({ id }) => id === destination.id);
    const { id, config } = destination;
    const sender = await openSafely(config, this.#options);
    const link = { id, config: JSON.stringify(config), sender, holdUntilUs: 0, againUs: 0 };
    this.#links.set(id, link);
    return link;
  }

  known({ id, config }: DestinationRow): Link | null {
    const known = this.#links.get(id);
    return known?.config === JSON.stringify(config) ? known : null;
  }

  /** Closes the connections of those that `isWanted` chooses. */
  forget(isWanted: (link: Link) => boolean): void {
    for (const link of this.#links.values()) {
      if (!isWanted(link)) continue;
      if ('send' in link.sender) link.sender.close();
      this.#links.delete(link.id);
    }
  }
}
