/** Makes the body and the address of a record from the templates of a destination. */
import type { JsonObject } from '../../export/json.ts';
import { DeliveryError } from '../guarded_connect.ts';
import type { Rendered } from './http_exchange.ts';
import type { OneRequest, PreparedRequest } from './prepared.ts';

/** `seen`: the values that the templates see. */
export function render(
  { templates, action }: Pick<PreparedRequest, 'templates' | 'action'>,
  request: OneRequest,
  value: JsonObject,
  seen: () => Record<string, unknown>,
): Rendered {
  // Most records of streams are sent in their shape as it is, to one address: no template is filled for them.
  let values: Record<string, unknown> | null = null;
  const all = () => {
    values ??= seen();
    return values;
  };
  const json = (tree: Parameters<typeof templates.tree>[0]) =>
    JSON.stringify(templates.tree(tree, all()) ?? null);
  const body = request.body === null ? JSON.stringify(value) : json(request.body);
  const text = action === null ? body : `${json(action)}\n${body}`;
  return {
    request,
    url: urlOf(request, (template) => templates.text(template, all())),
    body: Buffer.from(text),
    value,
  };
}

function urlOf({ url: base, path, query }: OneRequest, filled: (template: string) => string): string {
  if (path.length === 0 && Object.keys(query).length === 0) return base;
  const url = new URL(base);
  const segments = path.map((each) => segmentOf(filled(each)));
  if (segments.length > 0) url.pathname = `${url.pathname.replace(/\/$/, '')}/${segments.join('/')}`;
  for (const [name, each] of Object.entries(query)) url.searchParams.set(name, filled(each));
  return url.href;
}

function segmentOf(text: string): string {
  // These would lead to another path.
  if (/^\.{0,2}$/.test(text))
    throw new DeliveryError('a part of the path is empty or dots', { next: 'refused' });
  return encodeURIComponent(text.toWellFormed());
}
