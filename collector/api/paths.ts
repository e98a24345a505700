export const API_PREFIX = '/api/v1';

/**
 * Returns true for the API and the metrics. Every other path is a file of the page, which anybody may read.
 */
export function isApiPath(path: string): boolean {
  return path === '/metrics' || path === '/api' || path.startsWith('/api/');
}
