// Sets the chosen colour scheme before the first paint, so that a dark page does not flash white.
try {
  const chosen = localStorage.getItem('imdswatch.theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is forbidden here, so the scheme of the system applies.
}
