/** Finds the SDK or tool of a workload from its calls. */
import type { Client, ReleaseFacts } from '../../known_clients/client.ts';
import { type EmbeddingProgram, embeddingProgram } from '../../known_clients/embedding_programs.ts';
import { languageOf, type Product, productsOf, toolOf } from '../../known_clients/recognise.ts';
import type { Language } from '../../known_clients/step.ts';
import { clientOf } from '../../known_clients/table.ts';
import { compareVersions, sortVersions } from '../../known_clients/version.ts';
import type { CountedCalls, Identity } from '../store/store.ts';
import { isV1, type Tally } from './counts.ts';

export interface Evidence {
  client: Client | null;
  /** Versions of that client, earliest first. They come from its IMDSv1 calls if these name any. */
  versions: string[];
  /** The facts and versions that decide: those of botocore where boto3 or the AWS CLI name it, too. */
  release: { facts: ReleaseFacts; versions: string[] } | null;
  /** The program that contains the client. Its team updates the program. */
  program: EmbeddingProgram | null;
  /** HTTP library or program, where the code does not use an SDK. */
  library: string | null;
  libraryVersion: string | null;
  language: Language | null;
  mayBe: Client[];
  /**
   * True if the client is only probable: an old SDK that sends the user agent of its library. Programs of
   * their own seldom read credentials, so it is assumed only where these are read.
   */
  isGuess: boolean;
  /** True if the caller is a proxy, or all its calls to be explained were sent on for other programs. */
  isProxy: boolean;
  /** True if the caller is the user-mode network of a container, which sends on what programs in it ask for. */
  isUserNetwork: boolean;
  /** True if some of its calls were sent on for other programs. */
  hasClients: boolean;
}

/** Forward proxies, by the names of their programs. */
const PROXY_PROGRAM = /(^|\/)(squid|squid3|tinyproxy|privoxy|3proxy|polipo|mitmproxy|mitmdump)$/;

/** User-mode networks, by the names of their programs (`pasta.avx2` is chosen by the processor). */
const USER_NETWORK = /(^|\/)(slirp4netns|(pasta|passt)(\.avx2)?)$/;

/** `paths` are those that it asked for without a token; empty where they are not known. */
export function evidenceOf(
  identity: Identity,
  kinds: readonly CountedCalls[],
  calls: Tally,
  paths: readonly string[],
): Evidence {
  const plain = kinds.filter((kind) => isV1(kind) && kind.fallback === null);
  const explained = plain.length > 0 ? plain : kinds.filter(isV1);
  const ofV1 = productsIn(explained);
  const all = productsIn(kinds);
  // The advice must explain the calls without a token, and first those that no failed token request explains.
  const products =
    ofV1.length > 0 ? ofV1 : calls.v1 === 0 ? all : all.filter(({ client }) => client !== null);
  const named = products.find(({ client }) => client !== null)?.client ?? null;
  const library = products.find(({ client }) => client === null) ?? null;
  const language = languageOf(identity) ?? library?.language ?? named?.language ?? null;
  const known = toolOf(identity) ?? named ?? clientByRequestForm(identity, products, calls, paths, language);
  const guess = known === null && plain.some(readsCredentials) ? (library?.sdkBehind ?? null) : null;
  const client = known ?? guess;
  const versionsOf = (wanted: Client | null) =>
    sortVersions([
      ...new Set(
        products.flatMap((item) => (item.client === wanted && item.version !== null ? [item.version] : [])),
      ),
    ]);
  const versions = client === null ? [] : versionsOf(client);
  return {
    client,
    versions,
    release: client === null ? null : releaseOf(client, versions, versionsOf(clientOf('botocore'))),
    program: embeddingProgram(
      [identity.executable ?? identity.name, identity.script, identity.image],
      kinds.flatMap(({ userAgent }) => userAgent ?? []),
    ),
    library: library?.name ?? null,
    libraryVersion: library?.version ?? null,
    language: library?.language ?? language,
    mayBe: client === null ? [...new Set(products.flatMap(({ mayBe }) => mayBe))] : [],
    isGuess: client !== null && client === guess,
    isProxy:
      PROXY_PROGRAM.test(identity.executable ?? identity.name ?? '') ||
      // A tool that is known to relay, such as kube2iam, has advice of its own.
      (toolOf(identity) === null && explained.length > 0 && explained.every(isSentOn)),
    hasClients: kinds.some(isSentOn),
    isUserNetwork: USER_NETWORK.test(identity.executable ?? identity.name ?? ''),
  };
}

/** Tells whether the earliest version is earlier than `first`. False for a text that is not a version. */
export function isOlder(versions: readonly string[], first: string): boolean {
  return versions.length > 0 && (compareVersions(versions[0]!, first) ?? 0) < 0;
}

/** A distribution may give boto3 and the AWS CLI any botocore, which is what asks for the token. */
function releaseOf(client: Client, versions: string[], botocoreVersions: string[]): Evidence['release'] {
  const isOnBotocore = client.id === 'boto3' || client.id === 'aws-cli';
  return isOnBotocore && botocoreVersions.length > 0
    ? { facts: clientOf('botocore'), versions: botocoreVersions }
    : { facts: client, versions };
}

function isSentOn({ callerRole }: CountedCalls): boolean {
  return callerRole === 'relay';
}

function readsCredentials({ category }: CountedCalls): boolean {
  return category === 'credentials' || category === 'role-list';
}

/** Recognises clients without a user agent by a form of request that no other client uses. */
function clientByRequestForm(
  identity: Identity,
  products: readonly Product[],
  calls: Tally,
  paths: readonly string[],
  language: Language | null,
): Client | null {
  // boto 2 asks for `…/instance-identity//document`.
  if (language === 'python' && paths.some((path) => path.includes('/instance-identity//document'))) {
    return clientOf('boto2');
  }
  if (language !== 'javascript' || products.length > 0 || !identity.attributed) return null;
  if (paths.some((path) => path.startsWith('//latest/'))) return clientOf('ec2-metadata-service-js');
  // SDK v3 falls back and sends no user agent. SDK v2 sends one with its IMDSv1 calls.
  const fellBack = calls.fallbackUnanswered + calls.fallbackRefused > 0;
  return fellBack && calls.plainV1 === 0 ? clientOf('aws-sdk-js-v3') : null;
}

/** Returns the products of all user agents, those of the most frequent user agent first. */
function productsIn(kinds: readonly CountedCalls[]): Product[] {
  const counts = new Map<string, number>();
  for (const { userAgent, count } of kinds) {
    if (userAgent !== null) counts.set(userAgent, (counts.get(userAgent) ?? 0) + count);
  }
  return [...counts]
    .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    .flatMap(([userAgent]) => productsOf(userAgent));
}
