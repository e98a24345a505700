/** The routes of the page, behind the check of the session. */
import { LocationProvider, Route, Router, useLocation } from 'preact-iso/router';
import { SessionProvider, SIGN_IN_PATH, useSessionState } from './api/session.tsx';
import { ErrorNotice, Skeleton } from './parts/states.tsx';
import { GroupScreen } from './screens/group.tsx';
import { GroupsScreen } from './screens/groups.tsx';
import { HostScreen } from './screens/host.tsx';
import { HostsScreen } from './screens/hosts.tsx';
import { LiveScreen } from './screens/live.tsx';
import { NotFoundScreen } from './screens/not_found.tsx';
import { OffenderScreen } from './screens/offender.tsx';
import { OffendersScreen } from './screens/offenders.tsx';
import { OverviewScreen } from './screens/overview.tsx';
import { PlanScreen } from './screens/plan.tsx';
import { PlansScreen } from './screens/plans.tsx';
import { SettingsScreen } from './screens/settings.tsx';
import { SignInScreen } from './screens/sign_in.tsx';
import { Shell } from './shell.tsx';

export function App() {
  return (
    <LocationProvider>
      <SessionProvider>
        <SessionGate />
      </SessionProvider>
    </LocationProvider>
  );
}

/** Shows the screens to people who are signed in, and the sign-in screen to everybody else. */
function SessionGate() {
  const { state, retry } = useSessionState();
  const { path } = useLocation();
  if (state.status === 'signed_out' || path === SIGN_IN_PATH) return <SignInScreen />;
  if (state.status === 'loading') {
    return (
      <main class="centered">
        <Skeleton rows={4} />
      </main>
    );
  }
  if (state.status === 'failed') {
    return (
      <main class="centered">
        <h1 class="off-screen">imdswatch</h1>
        <ErrorNotice problem={state.problem} retry={retry} />
      </main>
    );
  }
  return (
    <Shell>
      <Router>
        <Route path="/" component={OverviewScreen} />
        <Route path="/offenders" component={OffendersScreen} />
        <Route path="/offenders/:id" component={OffenderScreen} />
        <Route path="/groups" component={GroupsScreen} />
        <Route path="/groups/:id" component={GroupScreen} />
        <Route path="/hosts" component={HostsScreen} />
        <Route path="/hosts/:id" component={HostScreen} />
        <Route path="/plans" component={PlansScreen} />
        <Route path="/plans/:id" component={PlanScreen} />
        <Route path="/live" component={LiveScreen} />
        <Route path="/settings/:section?" component={SettingsScreen} />
        <Route default component={NotFoundScreen} />
      </Router>
    </Shell>
  );
}
