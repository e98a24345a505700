/**
 * Encodes a text as one part of a URL. `encodeURIComponent` throws on half a surrogate pair, and one such
 * name in an old store would leave the whole page blank.
 */
export function urlPart(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}
