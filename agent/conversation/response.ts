/** Reads the head of an answer: its status, and the service's own verdict on the request. */
import { SERVICE_NAME, TOKEN_TTL_HEADER } from '../../protocol/endpoints.ts';
import { HeadReader } from './head.ts';

const BEGINNING = 'HTTP/';

export class ResponseHead extends HeadReader {
  status = 0;
  /** The head has the remaining lifetime of the request's token. Only answers to IMDSv2 requests have it. */
  hasTokenTtl = false;
  /** The head has the name by which the metadata service calls itself. Any other server may send it too. */
  namesService = false;

  /**
   * Returns whether another answer to the same request follows: 1xx, but not 101 (RFC 9110, section 15.2).
   */
  get isInterim(): boolean {
    return this.status >= 100 && this.status < 200 && this.status !== 101;
  }

  protected override readStartLine(line: Buffer): 'headers' | 'malformed' {
    const match = /^HTTP\/\d(?:\.\d)? (\d{3})(?: |$)/.exec(line.toString('latin1', 0, 64));
    if (match === null || match[1]! < '100') return 'malformed';
    this.status = Number(match[1]);
    return 'headers';
  }

  protected override readHeader(name: string, value: string): void {
    if (name === TOKEN_TTL_HEADER) this.hasTokenTtl = true;
    else if (name === 'server' && value === SERVICE_NAME) this.namesService = true;
  }

  protected override cannotBegin(partial: Buffer): boolean {
    const text = partial.toString('latin1', 0, BEGINNING.length);
    return text !== '\r' && !BEGINNING.startsWith(text);
  }
}
