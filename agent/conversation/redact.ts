/** Removes what must never be recorded from the parts of a request that are. */
import { TOKEN_HEADER } from '../../protocol/endpoints.ts';

const MASK = '****';
/** Session tokens as the service issues them: base64 that begins with these letters. */
const SESSION_TOKEN = /AQAE[A-Za-z0-9_\-+/=%]{16,}/g;
/** A parameter with a secret-looking name keeps its name. The lifetime parameter is no secret. */
const SECRET_PARAMETER = new RegExp(
  `((?:^|[?&;])(?:${TOKEN_HEADER}|[^=&;?]*(?:token|secret|passw(?:or)?d|signature|credential|api[_-]?key))=)[^&;]*`,
  'gi',
);

export function redact(text: string): string {
  return text.replace(SESSION_TOKEN, MASK).replace(SECRET_PARAMETER, `$1${MASK}`);
}
