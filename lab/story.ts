/**
 * Plays the story of the demo, act by act. Each act is a real program that makes its ordinary calls. Helper programs
 * such as `curl` are run by scripts, as they are on real hosts.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { IMDS_IPV4 } from '../protocol/endpoints.ts';
import { type LabClient, labClients } from './clients.ts';
import { PATHS } from './expected_call.ts';
import type { Lab } from './lab.ts';
import { Ledger } from './ledger.ts';
import { buildOneShot, type Programs } from './programs.ts';
import { type LabService, startLegacyPoller, startModernService, startWebApp } from './services.ts';

const SERVICE_INTERVAL_S = 2;
const THEFT_TIMEOUT_MS = 30_000;

export interface Act {
  /** One line for people who watch. */
  says: string;
  play(): Promise<void>;
}

/** The clients of the story in their order; clients.ts describes them. */
const CAST = [
  'curl-v1',
  'curl-v2',
  'wget-v1',
  'bash-dev-tcp',
  'python-urllib',
  'python-keep-alive',
  'curl-token-name-in-query',
  'python-split',
  'c-one-shot',
  'curl-ipv6',
  'sdk-old',
  'sdk-new',
  'sdk-new-unanswered',
];
/** Scripts that run a helper program, by the name of its client. */
const SCRIPTS: Readonly<Record<string, string>> = {
  'curl-v1': 'show-instance-id.sh',
  'curl-v2': 'show-instance-id-with-token.sh',
  'wget-v1': 'fetch-user-data.sh',
  'bash-dev-tcp': 'check-metadata.sh',
  'curl-token-name-in-query': 'token-in-the-wrong-place.sh',
  'curl-ipv6': 'show-instance-id-over-ipv6.sh',
};

/** Clients that are run again, one at a time, while somebody goes on watching. */
const REGULARS = ['curl-v1', 'curl-v2', 'wget-v1', 'python-keep-alive', 'sdk-old', 'sdk-new'];

export class Story {
  readonly ledger: Ledger;
  readonly #lab: Lab;
  readonly #programs: Programs;
  readonly #services: LabService[] = [];
  readonly #clients: Map<string, Act>;

  private constructor(lab: Lab, programs: Programs, oneShot: string | null) {
    this.#lab = lab;
    this.#programs = programs;
    this.ledger = new Ledger(lab);
    const clients = labClients(programs, oneShot)
      .filter(
        ({ calls }) => lab.hostAddresses.ipv6 !== null || calls.every(({ endpoint }) => endpoint !== 'ipv6'),
      )
      .map((client) => this.#inScript(client));
    this.#clients = new Map(
      clients.map((client) => [
        client.name,
        { says: client.says, play: async () => void (await this.ledger.runClient(client)) },
      ]),
    );
  }

  /** Returns the client as a script runs it, if it is one of `SCRIPTS`. The script is then the workload. */
  #inScript(client: LabClient): LabClient {
    const name = SCRIPTS[client.name];
    if (name === undefined) return client;
    const { bash } = this.#programs;
    const script = join(this.#lab.home, name);
    // Another command follows, so that bash does not become the program that it runs.
    writeFileSync(script, `#!${bash}\n# ${client.says}\n"$@"\nexit $?\n`, { mode: 0o755 });
    const argv = [bash, script, ...client.argv];
    return { ...client, says: `${name}: ${client.says}`, argv, executable: bash, script, caller: 'child' };
  }

  static async prepare(lab: Lab, programs: Programs): Promise<Story> {
    return new Story(lab, programs, await buildOneShot(programs, lab.home));
  }

  /** Returns the first act, which calls with session tokens only. */
  opening(): Act {
    return {
      says: 'a service that uses session tokens starts',
      play: () => this.#keep(startModernService(this.#lab, this.#programs, SERVICE_INTERVAL_S)),
    };
  }

  /** Returns the other acts of the story, in their order. */
  acts(): Act[] {
    return [
      {
        says: `a service from before IMDSv2 starts; it calls every ${SERVICE_INTERVAL_S} seconds`,
        play: () => this.#startLegacyPoller(),
      },
      // Without a C compiler or IPv6 the story is shorter.
      ...CAST.flatMap((name) => this.#clients.get(name) ?? []),
      { says: 'a web app is tricked into fetching role credentials (SSRF)', play: () => this.#theft() },
    ];
  }

  /** Yields, without end, programs that are run again. */
  *encores(): Generator<Act> {
    for (;;) for (const name of REGULARS) yield this.#clients.get(name)!;
  }

  async #startLegacyPoller(): Promise<void> {
    await this.#keep(startLegacyPoller(this.#lab, this.#programs, SERVICE_INTERVAL_S));
  }

  async #keep(starting: Promise<LabService>): Promise<void> {
    this.#services.push(this.ledger.addService(await starting));
  }

  async #theft(): Promise<void> {
    const starting = startWebApp(this.#lab, this.#programs);
    await this.#keep(starting);
    const app = await starting;
    const url = `url=http://${IMDS_IPV4}${PATHS.credentials}`;
    const fetchPage = `http://127.0.0.1:${app.listening}/fetch`;
    const { status } = await this.#lab.run(
      [this.#programs.curl, '-sf', '-o', '/dev/null', '-G', '--data-urlencode', url, fetchPage],
      { timeoutMs: THEFT_TIMEOUT_MS },
    );
    if (status !== 0) throw new Error(`the web app could not be tricked (curl ended with ${status})`);
  }

  /** Starts the services again that call by themselves. */
  async resume(): Promise<void> {
    await this.opening().play();
    await this.#startLegacyPoller();
  }

  /** Ends the services. The ledger is complete until `resume`. */
  async end(): Promise<void> {
    await Promise.all(this.#services.map((service) => service.stop()));
  }
}
