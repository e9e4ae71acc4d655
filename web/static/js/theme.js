// Sets the theme before the first paint: a classic script, so that it blocks.
// The choice is light, dark or auto; the page always carries a concrete theme.
(() => {
  const KEY = 'anole.theme';
  const media = matchMedia('(prefers-color-scheme: dark)');
  const read = () => {
    try {
      const v = localStorage.getItem(KEY);
      return v === 'light' || v === 'dark' ? v : 'auto';
    } catch {
      return 'auto'; // storage is denied: the choice lasts as long as the page
    }
  };
  let choice = read();
  const apply = () => {
    const theme = choice === 'auto' ? (media.matches ? 'dark' : 'light') : choice;
    document.documentElement.dataset.theme = theme;
    document.dispatchEvent(new CustomEvent('themechange', {detail: theme}));
  };
  media.addEventListener('change', apply);
  apply();
  globalThis.anoleTheme = {
    get: () => choice,
    set(v) {
      choice = v;
      try {
        localStorage.setItem(KEY, v);
      } catch { /* as above */ }
      apply();
    },
  };
})();
