/** Finds uses of clients that never have a token, by the table of known clients. */
import type { CodeCall } from '../../known_clients/client.ts';
import { CLIENTS } from '../../known_clients/table.ts';
import type { CallSite } from './call_site.ts';
import { lexSource, type SourceLanguage } from './source_lexer.ts';

const CALLS: readonly (CodeCall & { clientId: string })[] = CLIENTS.flatMap(({ id, codeCalls = [] }) =>
  codeCalls.map((call) => ({ ...call, clientId: id })),
);

/** One of these is in every file with such a use. */
export const CLIENT_NEEDLES: readonly string[] = CALLS.map(({ needle }) => needle);

const MAX_SITES = 200;

export function findClientCalls(text: string, language: SourceLanguage): CallSite[] {
  const calls = CALLS.filter((call) => call.language === language && text.includes(call.needle));
  if (calls.length === 0) return [];
  const { code } = lexSource(text, language);
  return calls.flatMap(({ pattern, clientId, why }) =>
    [...code.matchAll(pattern)].slice(0, MAX_SITES).map((match) => {
      const end = match.index + match[0].length;
      return {
        kind: 'client' as const,
        start: match.index,
        end,
        scopeStart: match.index,
        scopeEnd: end,
        by: match[0].replace(/\s+/g, ' ').replace(/\s*\($/, ''),
        language: null,
        clientId,
        why,
      };
    }),
  );
}
