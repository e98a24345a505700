// Before anything is painted: the chosen colour scheme, so that a dark page does not flash white.
try {
  const chosen = localStorage.getItem('imdswatch.theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is forbidden here: the system's own scheme is used.
}
