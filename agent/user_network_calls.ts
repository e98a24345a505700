/**
 * Joins the requests that a user-mode network (slirp4netns, pasta) sends with those of the programs behind it.
 * Each request is captured twice, in two network namespaces, and either copy may be handled first. So both
 * wait a moment for each other.
 */
import { isSameRequest, type RequestFacts } from './attribution/relays.ts';

/** Captures of different namespaces are read within this time of each other. */
const WAIT_US = 500_000;
const MAX_HELD = 256;

/** One copy of a request, and what it was joined with. */
export class HeldRequest<Caller> {
  readonly caller: Caller;
  /** A program with a tunnel device sent this copy, so that it may be for another one. */
  readonly isSent: boolean;
  readonly facts: RequestFacts;
  readonly startUs: number;
  partner: HeldRequest<Caller> | null = null;
  isDecided = false;
  #onDecided: (() => void) | null = null;

  constructor(caller: Caller, isSent: boolean, facts: RequestFacts, startUs: number) {
    this.caller = caller;
    this.isSent = isSent;
    this.facts = facts;
    this.startUs = startUs;
  }

  /** Calls back when the partner is known, or when it has not been found in time. At once if that is so. */
  whenDecided(onDecided: () => void): void {
    if (this.isDecided) onDecided();
    else this.#onDecided = onDecided;
  }

  decide(): void {
    this.isDecided = true;
    const onDecided = this.#onDecided;
    this.#onDecided = null;
    onDecided?.();
  }
}

export class UserNetworkCalls<Caller> {
  /** Requests of programs behind a network, and of networks; oldest first. */
  readonly #made: HeldRequest<Caller>[] = [];
  readonly #sent: HeldRequest<Caller>[] = [];

  /** Adds a request of a program in another namespace. */
  addMade(caller: Caller, facts: RequestFacts, startUs: number): HeldRequest<Caller> {
    return add(new HeldRequest(caller, false, facts, startUs), this.#made, this.#sent);
  }

  /** Adds a request of a program that holds a tunnel device. */
  addSent(caller: Caller, facts: RequestFacts, startUs: number): HeldRequest<Caller> {
    return add(new HeldRequest(caller, true, facts, startUs), this.#sent, this.#made);
  }

  /** Makes the decisions that are due. Returns whether some are still to come. */
  tick(nowUs: number): boolean {
    for (const list of [this.#made, this.#sent]) {
      while (list.length > 0 && nowUs - list[0]!.startUs > WAIT_US) list.shift()!.decide();
    }
    return this.#made.length + this.#sent.length > 0;
  }

  finish(): void {
    for (const list of [this.#made, this.#sent]) for (const each of list.splice(0)) each.decide();
  }
}

function add<Caller>(
  request: HeldRequest<Caller>,
  own: HeldRequest<Caller>[],
  others: HeldRequest<Caller>[],
): HeldRequest<Caller> {
  const at = others.findIndex(
    ({ facts, startUs }) =>
      Math.abs(request.startUs - startUs) <= WAIT_US && isSameRequest(facts, request.facts, true),
  );
  if (at >= 0) {
    const [partner] = others.splice(at, 1);
    partner!.partner = request;
    request.partner = partner!;
    request.decide();
    partner!.decide();
    return request;
  }
  own.push(request);
  if (own.length > MAX_HELD) own.shift()!.decide();
  return request;
}
