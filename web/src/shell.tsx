/** The frame of every screen: navigation, account, and the head of the screen. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';
import { scopeText } from '../../collector/contract/host_scope_text.ts';
import { type DataSource, onDataSource } from './api/client.ts';
import { asProblem } from './api/resource.ts';
import { useSession, useSessionState } from './api/session.tsx';
import { Icon, type IconName } from './parts/icon.tsx';
import { chooseTheme, currentTheme, type Theme } from './theme.ts';
import { LocalTime } from './time.tsx';
import { DAYS, DEFAULT_DAYS, daysOf, query, useUrlState } from './url_state.ts';
import './shell.css';

const SCREENS: { path: string; label: string; icon: IconName; wholeFleet?: true }[] = [
  { path: '/', label: 'Overview', icon: 'overview' },
  { path: '/offenders', label: 'Offenders', icon: 'offenders' },
  { path: '/groups', label: 'Groups', icon: 'groups' },
  { path: '/hosts', label: 'Hosts', icon: 'hosts' },
  { path: '/plans', label: 'Plans', icon: 'plans', wholeFleet: true },
  { path: '/live', label: 'Live', icon: 'live' },
  { path: '/settings', label: 'Settings', icon: 'settings' },
];

export function Shell({ children }: { children: ComponentChildren }) {
  const { path } = useLocation();
  const { params } = useUrlState();
  const { scope } = useSession();
  const screens = SCREENS.filter(({ wholeFleet }) => scope === null || wholeFleet !== true);
  const main = useRef<HTMLElement>(null);
  const shownPath = useRef(path);
  useEffect(() => {
    if (shownPath.current === path) return;
    shownPath.current = path;
    // The keyboard and the screen reader continue in the new screen and not at the link that led to it.
    main.current?.focus({ preventScroll: true });
  }, [path]);
  // Links keep the window. All other parameters of the address belong to one screen.
  const windowQuery = daysOf(params) === DEFAULT_DAYS ? '' : query({ days: daysOf(params) });
  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to main content
      </a>
      <nav class="side" aria-label="Screens">
        <a class="brand" href="/">
          <Logo />
          imdswatch
        </a>
        <ul>
          {screens.map(({ path: to, label, icon }) => {
            const isCurrent = to === '/' ? path === '/' : path === to || path.startsWith(`${to}/`);
            return (
              <li key={to}>
                <a href={to + windowQuery} aria-current={isCurrent ? 'page' : undefined}>
                  <Icon name={icon} />
                  {label}
                </a>
              </li>
            );
          })}
        </ul>
        <Account />
      </nav>
      <main id="main" tabIndex={-1} ref={main}>
        <OldDataNotice />
        {children}
      </main>
    </div>
  );
}

/** Data of a standby is shown with its age from this lag on. Below it, the data changes as often as the page loads it. */
const NOTICED_LAG_SECONDS = 10;

/** Says that the last answer has old data, because the standby that gave it is behind. */
function OldDataNotice() {
  const [source, setSource] = useState<DataSource | null>(null);
  useEffect(() => {
    onDataSource(setSource);
    return () => onDataSource(() => {});
  }, []);
  const lag = source?.lagSeconds ?? 0;
  if (source === null || lag < NOTICED_LAG_SECONDS) return null;
  return (
    <p class="old-data" role="status">
      These numbers are of <LocalTime at={source.asOf} />: the standby of the database that gave them is {lag}{' '}
      seconds behind.
    </p>
  );
}

export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d="M1.500 12C4.500 6.500 8 4 12 4s7.500 2.500 10.500 8c-3 5.500-6.500 8-10.500 8S4.500 17.500 1.500 12z" />
      <circle cx="12" cy="12" r="4" />
    </svg>
  );
}

function Account() {
  const session = useSession();
  const { signOut } = useSessionState();
  const [failed, setFailed] = useState<string | null>(null);
  return (
    <div class="account">
      <ThemeSwitch />
      <div class="identity">
        <span class="name" title={session.name}>
          {session.name}
        </span>
        <span class="quiet">{session.role}</span>
        {session.scope !== null && <span class="quiet">Only {scopeText(session.scope)}</span>}
      </div>
      {session.via !== 'proxy' && (
        <button
          type="button"
          class="button small"
          onClick={() => signOut().catch((error: unknown) => setFailed(asProblem(error).message))}
        >
          <Icon name="out" />
          Sign out
        </button>
      )}
      {failed && <p role="alert">{failed}</p>}
    </div>
  );
}

const THEMES: { theme: Theme; label: string; icon: IconName }[] = [
  { theme: 'system', label: 'Same as system', icon: 'system' },
  { theme: 'light', label: 'Light', icon: 'sun' },
  { theme: 'dark', label: 'Dark', icon: 'moon' },
];

function ThemeSwitch() {
  const [theme, setTheme] = useState(currentTheme);
  return (
    <fieldset class="theme">
      <legend class="off-screen">Colour scheme</legend>
      {THEMES.map((option) => (
        <button
          key={option.theme}
          type="button"
          aria-pressed={theme === option.theme}
          aria-label={option.label}
          title={option.label}
          onClick={() => {
            chooseTheme(option.theme);
            setTheme(option.theme);
          }}
        >
          <Icon name={option.icon} />
        </button>
      ))}
    </fieldset>
  );
}

interface HeadProps {
  title: string;
  /** After the title: a severity or a verdict. */
  badge?: ComponentChildren;
  /** One line below the title. */
  subtitle?: ComponentChildren;
  back?: { href: string; label: string };
  /** Shows the choice of the window. */
  windowed?: boolean;
  children?: ComponentChildren;
}

/**
 * The top of a screen. It also sets the title of the document, so that tabs and the history can be told
 * apart.
 */
export function ScreenHead({ title, badge, subtitle, back, windowed = false, children }: HeadProps) {
  useEffect(() => {
    document.title = `${title} · imdswatch`;
  }, [title]);
  return (
    <header class="screen-head">
      <div class="titles">
        {back && (
          <a class="back" href={back.href}>
            {back.label}
          </a>
        )}
        <h1>
          {title} {badge}
        </h1>
        {subtitle && <p class="subtitle">{subtitle}</p>}
      </div>
      <div class="tools">
        {children}
        {windowed && <WindowChoice />}
      </div>
    </header>
  );
}

function WindowChoice() {
  const { params, set } = useUrlState();
  const chosen = daysOf(params);
  const choices = [...new Set([...DAYS, chosen])].sort((a, b) => a - b);
  return (
    <label class="window">
      <span>Last</span>
      <select
        value={String(chosen)}
        onChange={(event) => {
          const { value } = event.currentTarget;
          set({ days: Number(value) === DEFAULT_DAYS ? null : value });
        }}
      >
        {choices.map((days) => (
          <option key={days} value={String(days)}>
            {days === 1 ? '24 hours' : `${days} days`}
          </option>
        ))}
      </select>
    </label>
  );
}
