/** Puts scopes into words, for people and for the page. */
import type { ViewScope } from './host_scope.ts';

/** Describes a scope in words, such as `account 111122223333 with tag team=payments`. */
export function scopeText(scope: ViewScope): string {
  return scope
    .map(({ accounts, tags }) => {
      const tagTexts = Object.entries(tags ?? {}).map(([key, values]) => `tag ${key}=${values.join(' or ')}`);
      const accountText = accounts === undefined ? [] : [`account ${accounts.join(' or ')}`];
      return [...accountText, ...tagTexts].join(' with ');
    })
    .join('; ');
}
