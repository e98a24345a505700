/** The enrolment token in the settings of agent and collector. */
import { OperatorError } from './operator_error.ts';

export const MIN_AGENT_TOKEN_CHARACTERS = 16;
/** The characters that an `Authorization: Bearer` header allows (RFC 6750 section 2.1). */
export const AGENT_TOKEN_CHARACTERS = /^[A-Za-z0-9._~+/=-]*$/;

/**
 * Returns `agent_token`, else the content of `agent_token_file` (`read` returns a file's text), or null when
 * neither is set. Throws `OperatorError` (exit code 2) when the file cannot be read or holds no token.
 */
export function agentTokenOf(
  settings: { agent_token?: string | undefined; agent_token_file?: string | undefined },
  read: (file: string) => string,
): string | null {
  if (settings.agent_token !== undefined) return settings.agent_token;
  const file = settings.agent_token_file;
  if (file === undefined) return null;
  let token: string;
  try {
    token = read(file).trim();
  } catch (error) {
    throw new OperatorError(2, `agent_token_file ${file} cannot be read: ${(error as Error).message}.`);
  }
  if (token.length < MIN_AGENT_TOKEN_CHARACTERS) {
    throw new OperatorError(
      2,
      `agent_token_file ${file} must hold at least ${MIN_AGENT_TOKEN_CHARACTERS} characters, and has ${token.length}.`,
    );
  }
  if (!AGENT_TOKEN_CHARACTERS.test(token)) {
    throw new OperatorError(
      2,
      `agent_token_file ${file} must hold one word of letters, digits and . _ ~ + / = - only.`,
    );
  }
  return token;
}
