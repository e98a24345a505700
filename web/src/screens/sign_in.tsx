/** Signing in by a token, or by a one-time link, whose code stands in the fragment: that part is sent to no server. */
import { useEffect, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';
import { asProblem } from '../api/answer.ts';
import type { Problem } from '../api/client.ts';
import { SIGN_IN_PATH, useSessionState } from '../api/session.tsx';
import { Failed } from '../parts/states.tsx';
import { Logo } from '../shell.tsx';
import './sign_in.css';

/** Takes the code out of the address, and so out of the history, before anything else happens. */
function takeCode(): string | null {
  if (location.pathname !== SIGN_IN_PATH || location.hash === '') return null;
  const code = location.hash.slice(1);
  history.replaceState(null, '', SIGN_IN_PATH);
  return code;
}

export function SignInScreen() {
  const { state, signIn } = useSessionState();
  const { route } = useLocation();
  const [code, setCode] = useState(takeCode);
  const [token, setToken] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);

  const enter = async (secret: string) => {
    setBusy(true);
    setProblem(null);
    try {
      // Elsewhere the address stays as it is: one is back where one was.
      await signIn(secret);
      if (location.pathname === SIGN_IN_PATH) route('/', true);
    } catch (error) {
      setCode(null); // it works once, or not at all
      setProblem(asProblem(error));
      setBusy(false);
    }
  };

  useEffect(() => {
    document.title = 'Sign in · imdswatch';
  }, []);

  return (
    <main class="door">
      <form
        class="panel sign-in"
        onSubmit={(event) => {
          event.preventDefault();
          void enter(code ?? token.trim());
        }}
      >
        <h1>
          <Logo />
          imdswatch
        </h1>
        {state.is === 'out' && state.expired && !problem && (
          <p>Your session has ended. Sign in to return to this screen.</p>
        )}
        {problem && <Failed problem={problem} />}
        {/* Asked and not done at once: a link from somebody else must not sign in by being opened. */}
        {code !== null && <p>This link signs you in to this browser. It works once.</p>}
        {code === null && (
          <label class="field">
            Token
            <input
              type="password"
              name="token"
              required
              autocomplete="current-password"
              spellcheck={false}
              value={token}
              onInput={(event) => setToken(event.currentTarget.value)}
            />
          </label>
        )}
        <button type="submit" class="button primary" disabled={busy}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
        {code === null && (
          <p class="quiet">
            No token? Run <code>imdswatch token sign-in-link</code> on the collector's machine. It prints a
            link that signs you in once.
          </p>
        )}
      </form>
    </main>
  );
}
