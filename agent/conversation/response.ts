/** The head of an answer: its status, and the service's own verdict on the request. */
import { TOKEN_TTL_HEADER } from '../../protocol/endpoints.ts';
import { HeadReader } from './head.ts';

const BEGINNING = 'HTTP/';

export class ResponseHead extends HeadReader {
  status = 0;
  /** Carries the remaining lifetime of the request's token: only answers to IMDSv2 requests do. */
  hasTokenTtl = false;

  /** 1xx, but not 101: another answer to the same request follows (RFC 9110, section 15.2). */
  get isInterim(): boolean {
    return this.status >= 100 && this.status < 200 && this.status !== 101;
  }

  protected override startLine(line: Buffer): 'headers' | 'malformed' {
    const match = /^HTTP\/\d(?:\.\d)? (\d{3})(?: |$)/.exec(line.toString('latin1', 0, 64));
    if (match === null || match[1]! < '100') return 'malformed';
    this.status = Number(match[1]);
    return 'headers';
  }

  protected override header(name: string, _value: string): void {
    if (name === TOKEN_TTL_HEADER) this.hasTokenTtl = true;
  }

  protected override cannotBegin(partial: Buffer): boolean {
    const text = partial.toString('latin1', 0, BEGINNING.length);
    return text !== '\r' && !BEGINNING.startsWith(text);
  }
}
