/** Who is signed in. While nobody is, the sign-in screen stands in place of the page, at the same address. */

import type { ComponentChildren } from 'preact';
import { createContext } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import type { NewSession, Session } from '../../../collector/contract/session.ts';
import { asProblem, forgetAnswers } from './answer.ts';
import { ask, onSignedOut, type Problem } from './client.ts';

type State =
  | { is: 'asking' }
  | { is: 'out'; expired: boolean }
  | { is: 'in'; session: Session }
  | { is: 'failed'; problem: Problem };

interface SessionContext {
  state: State;
  /** By a person's token or the code of a sign-in link. Throws `Problem` where it is refused. */
  signIn(secret: string): Promise<void>;
  signOut(): Promise<void>;
  retry(): void;
}

/** Whoever comes here comes to sign in, also where somebody is signed in already: it may be for another role. */
export const SIGN_IN_PATH = '/sign-in';

const context = createContext<SessionContext | null>(null);

export function SessionProvider({ children }: { children: ComponentChildren }) {
  const [state, setState] = useState<State>(
    location.pathname === SIGN_IN_PATH ? { is: 'out', expired: false } : { is: 'asking' },
  );

  // Counts what was begun: the answer to `who am I` must not undo a sign-in that overtook it.
  const begun = useRef(0);

  const look = () => {
    const mine = ++begun.current;
    setState({ is: 'asking' });
    ask<Session>('/session', { keepSession: true }).then(
      (session) => {
        if (begun.current === mine) setState({ is: 'in', session });
      },
      (error: unknown) => {
        if (begun.current !== mine) return;
        const problem = asProblem(error);
        setState(problem.status === 401 ? { is: 'out', expired: false } : { is: 'failed', problem });
      },
    );
  };

  useEffect(() => {
    onSignedOut(() => {
      forgetAnswers();
      setState((before) => (before.is === 'in' ? { is: 'out', expired: true } : before));
    });
    if (state.is === 'asking') look();
  }, []);

  const signIn = async (secret: string) => {
    begun.current++;
    const session = await ask<NewSession>('/session', {
      method: 'POST',
      body: { secret },
      keepSession: true,
    });
    setState({ is: 'in', session });
  };
  const signOut = async () => {
    await ask('/session', { method: 'DELETE', keepSession: true });
    forgetAnswers();
    setState({ is: 'out', expired: false });
  };
  return <context.Provider value={{ state, signIn, signOut, retry: look }}>{children}</context.Provider>;
}

export function useSessionState(): SessionContext {
  return useContext(context)!;
}

/** For screens, which are shown only to somebody who is signed in. */
export function useSession(): Session {
  const { state } = useSessionState();
  if (state.is !== 'in') throw new Error('nobody is signed in');
  return state.session;
}
