/** Signing in by a token, or by a one-time link, whose code stands in the fragment: that part is sent to no server. */
import { useEffect, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';
import { asProblem } from '../api/answer.ts';
import type { Problem } from '../api/client.ts';
import { useSessionState } from '../api/session.tsx';
import { Failed } from '../parts/states.tsx';
import { Logo } from '../shell.tsx';

export const SIGN_IN_PATH = '/sign-in';

/** Takes the code out of the address, and so out of the history, before anything else happens. */
function takeCode(): string | null {
  if (location.pathname !== SIGN_IN_PATH) return null;
  const code = new URLSearchParams(location.hash.slice(1)).get('code');
  if (location.hash !== '') history.replaceState(null, '', SIGN_IN_PATH);
  return code;
}

export function SignInScreen() {
  const { state, signIn } = useSessionState();
  const { route } = useLocation();
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
      setProblem(asProblem(error));
      setBusy(false);
    }
  };

  useEffect(() => {
    document.title = 'Sign in · imdswatch';
    const code = takeCode();
    if (code !== null) void enter(code);
  }, []);

  return (
    <main class="door">
      <form
        class="panel sign-in"
        onSubmit={(event) => {
          event.preventDefault();
          void enter(token.trim());
        }}
      >
        <h1>
          <Logo />
          imdswatch
        </h1>
        {state.is === 'out' && state.expired && !problem && (
          <p>Your session has ended. Sign in to go on where you were.</p>
        )}
        {problem && <Failed problem={problem} />}
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
        <button type="submit" class="button primary" disabled={busy}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
        <p class="quiet">
          No token? On the collector's machine, <code>imdswatch token sign-in-link</code> prints a link that
          signs you in once.
        </p>
      </form>
    </main>
  );
}
