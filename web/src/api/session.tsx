/**
 * The session of the person who looks at the page. Without one, the sign-in screen takes the place of every
 * screen.
 */

import type { ComponentChildren } from 'preact';
import { createContext } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import type { NewSession, Session, SignedOut, SignInWays } from '../../../collector/contract/session.ts';
import { onSignedOut, type Problem, request } from './client.ts';
import { asProblem, clearCachedResources } from './resource.ts';

type State =
  | { status: 'loading' }
  | { status: 'signed_out'; expired: boolean }
  | { status: 'signed_in'; session: Session }
  | { status: 'failed'; problem: Problem };

interface SessionContext {
  state: State;
  /**
   * Signs in with a person's token or with the code of a sign-in link. Throws `Problem` if the collector
   * refuses it.
   */
  signIn(secret: string): Promise<void>;
  signOut(): Promise<void>;
  retry(): void;
}

/**
 * This path shows the sign-in screen even during a session, because a person may sign in again with another
 * role.
 */
export const SIGN_IN_PATH = '/sign-in';

const context = createContext<SessionContext | null>(null);

export function SessionProvider({ children }: { children: ComponentChildren }) {
  const [state, setState] = useState<State>(
    location.pathname === SIGN_IN_PATH ? { status: 'signed_out', expired: false } : { status: 'loading' },
  );

  // The number of the latest request. A late response to GET /session must not undo a sign-in that started
  // after it.
  const latestRequest = useRef(0);

  const loadSession = () => {
    const thisRequest = ++latestRequest.current;
    setState({ status: 'loading' });
    request<Session>('/session', { keepSession: true }).then(
      (session) => {
        if (latestRequest.current === thisRequest) setState({ status: 'signed_in', session });
      },
      (error: unknown) => {
        if (latestRequest.current !== thisRequest) return;
        const problem = asProblem(error);
        setState(
          problem.status === 401 ? { status: 'signed_out', expired: false } : { status: 'failed', problem },
        );
      },
    );
  };

  useEffect(() => {
    onSignedOut(() => {
      clearCachedResources();
      setState((before) =>
        before.status === 'signed_in' ? { status: 'signed_out', expired: true } : before,
      );
    });
    if (state.status === 'loading') loadSession();
  }, []);

  const signIn = async (secret: string) => {
    latestRequest.current++;
    const session = await request<NewSession>('/session', {
      method: 'POST',
      body: { secret },
      keepSession: true,
    });
    setState({ status: 'signed_in', session });
  };
  const signOut = async () => {
    const rest = await request<SignedOut | null>('/session', { method: 'DELETE', keepSession: true });
    clearCachedResources();
    // The identity provider would sign the person in again without a question.
    if (rest !== null) location.assign(rest.provider_url);
    setState({ status: 'signed_out', expired: false });
  };
  return (
    <context.Provider value={{ state, signIn, signOut, retry: loadSession }}>{children}</context.Provider>
  );
}

/** Returns the ways of signing in besides tokens and links. Without an answer there is none. */
export function useSignInWays(): SignInWays | null {
  const [ways, setWays] = useState<SignInWays | null>(null);
  useEffect(() => {
    request<SignInWays>('/sign-in-ways', { keepSession: true }).then(setWays, () => {});
  }, []);
  return ways;
}

export function useSessionState(): SessionContext {
  return useContext(context)!;
}

/** Returns the session, for screens, which are shown only during one. Throws outside of a session. */
export function useSession(): Session {
  const { state } = useSessionState();
  if (state.status !== 'signed_in') throw new Error('No person is signed in');
  return state.session;
}
