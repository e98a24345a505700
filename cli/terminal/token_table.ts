/** Prints tokens as a table for the terminal. */
import type { Token } from '../../collector/contract/administration.ts';
import { scopeText } from '../../collector/contract/host_scope_text.ts';
import { visibleText } from './visible_text.ts';

const HEADINGS = ['ID', 'KIND', 'NAME', 'ROLE OR HOST', 'STATE', 'LAST USED', 'MADE BY'];

export function tokenTable(tokens: readonly Token[], nowMs: number): string {
  if (tokens.length === 0) return 'There are no tokens.\n';
  const rows = tokens.map((token) =>
    [
      token.id,
      token.kind,
      token.name,
      roleOrHost(token),
      stateOf(token, nowMs),
      token.last_used?.slice(0, 16).replace('T', ' ') ?? 'never',
      token.created_by,
    ].map(visibleText),
  );
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...rows.map((cells) => cells[column]!.length)),
  );
  return [HEADINGS, ...rows]
    .map(
      (cells) =>
        `${cells
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

function roleOrHost({ role, scope, host_id }: Token): string {
  if (role === null) return host_id ?? '-';
  return scope === null ? role : `${role} (${scopeText(scope)})`;
}

function stateOf({ revoked, expires }: Token, nowMs: number): string {
  if (revoked !== null) return `revoked ${revoked.slice(0, 10)}`;
  if (expires === null) return 'valid';
  return `${Date.parse(expires) <= nowMs ? 'expired' : 'until'} ${expires.slice(0, 10)}`;
}
