/** Finds the SDK or tool of a workload from its calls. */
import type { Client } from '../../known_clients/client.ts';
import { languageOf, type Product, productsOf, toolOf } from '../../known_clients/recognise.ts';
import type { Language } from '../../known_clients/step.ts';
import { clientOf } from '../../known_clients/table.ts';
import { sortVersions } from '../../known_clients/version.ts';
import type { CountedCalls, Identity } from '../store/store.ts';
import { isV1, type Tally } from './counts.ts';

export interface Evidence {
  client: Client | null;
  /** Versions of that client, earliest first. They come from its IMDSv1 calls if these name any. */
  versions: string[];
  /** Versions of botocore beside boto3, because botocore has the setting that turns the fallback off. */
  botocoreVersions: string[];
  /** HTTP library or program, where the code does not use an SDK. */
  library: string | null;
  language: Language | null;
  mayBe: Client[];
}

/** `paths` are those that it asked for without a token; empty where they are not known. */
export function evidenceOf(
  identity: Identity,
  kinds: readonly CountedCalls[],
  calls: Tally,
  paths: readonly string[],
): Evidence {
  const plain = kinds.filter((kind) => isV1(kind) && kind.fallback === null);
  const ofV1 = productsIn(plain.length > 0 ? plain : kinds.filter(isV1));
  const all = productsIn(kinds);
  // The advice must explain the calls without a token, and first those that no failed token request explains.
  const products =
    ofV1.length > 0 ? ofV1 : calls.v1 === 0 ? all : all.filter(({ client }) => client !== null);
  const named = products.find(({ client }) => client !== null)?.client ?? null;
  const library = products.find(({ client }) => client === null) ?? null;
  const language = languageOf(identity) ?? library?.language ?? named?.language ?? null;
  const client = toolOf(identity) ?? named ?? clientByRequestForm(identity, products, calls, paths, language);
  const versionsOf = (wanted: Client | null) =>
    sortVersions([
      ...new Set(
        products.flatMap((item) => (item.client === wanted && item.version !== null ? [item.version] : [])),
      ),
    ]);
  return {
    client,
    versions: client === null ? [] : versionsOf(client),
    botocoreVersions: client?.id === 'boto3' ? versionsOf(clientOf('botocore')) : [],
    library: library?.name ?? null,
    language: library?.language ?? language,
    mayBe: client === null ? [...new Set(products.flatMap(({ mayBe }) => mayBe))] : [],
  };
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
