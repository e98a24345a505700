/**
 * Signs a person in at an identity provider, with a token, or with a one-time link. The code of the link is in the fragment, which
 * browsers do not send.
 */
import { useEffect, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';
import type { Problem } from '../api/client.ts';
import { asProblem } from '../api/resource.ts';
import { SIGN_IN_PATH, useSessionState, useSignInWays } from '../api/session.tsx';
import { ErrorNotice } from '../parts/states.tsx';
import { Logo } from '../shell.tsx';
import './sign_in.css';

/** Removes the code from the address, and so from the history, and returns it. */
function takeCode(): string | null {
  if (location.pathname !== SIGN_IN_PATH || location.hash === '') return null;
  const code = location.hash.slice(1);
  history.replaceState(null, '', SIGN_IN_PATH);
  return code;
}

/** Leaves the page. The person returns to the screen from before. */
function goToProvider(path: string): void {
  const screen = location.pathname === SIGN_IN_PATH ? '/' : location.pathname + location.search;
  location.assign(`${path}?return_to=${encodeURIComponent(screen)}`);
}

export function SignInScreen() {
  const { state, signIn } = useSessionState();
  const { route } = useLocation();
  const [code, setCode] = useState(takeCode);
  const [token, setToken] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const provider = useSignInWays()?.oidc ?? null;

  const submit = async (secret: string) => {
    setBusy(true);
    setProblem(null);
    try {
      // At any other address the person returns to the screen from before.
      await signIn(secret);
      if (location.pathname === SIGN_IN_PATH) route('/', true);
    } catch (error) {
      setCode(null); // A code works only once.
      setProblem(asProblem(error));
      setBusy(false);
    }
  };

  useEffect(() => {
    document.title = 'Sign in · imdswatch';
  }, []);

  return (
    <main class="centered">
      <form
        class="panel sign-in"
        onSubmit={(event) => {
          event.preventDefault();
          void submit(code ?? token.trim());
        }}
      >
        <h1>
          <Logo />
          imdswatch
        </h1>
        {state.status === 'signed_out' && state.expired && !problem && (
          <p>Your session has ended. Sign in to return to this screen.</p>
        )}
        {problem && <ErrorNotice problem={problem} />}
        {/* The person must confirm, because opening a link from somebody else must not sign in. */}
        {code !== null && <p>This link signs you in to this browser. It works once.</p>}
        {code === null && provider !== null && (
          <>
            <button type="button" class="button primary" onClick={() => goToProvider(provider.path)}>
              Sign in with {provider.name}
            </button>
            <p class="quiet">Or with a token:</p>
          </>
        )}
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
        <button
          type="submit"
          class={code === null && provider !== null ? 'button' : 'button primary'}
          disabled={busy}
        >
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
