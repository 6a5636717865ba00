// @ts-check
/** Light or dark: as the system has it, until somebody says otherwise. It runs before the page is drawn. */

(() => {
  const KEY = "nitro-inspector-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  /** @type {{getItem(key: string): string | null, setItem(key: string, value: string): void, removeItem(key: string): void} | null} */
  let kept = null;
  try {
    kept = localStorage;
  } catch { /* it is forbidden here: the choice then lasts as long as the page */ }

  const seen = () => root.dataset.theme ?? (system.matches ? "dark" : "light");
  const other = () => (seen() === "dark" ? "light" : "dark");
  const chosen = kept?.getItem(KEY);
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const say = () => {
      button?.setAttribute("aria-label", `Switch to ${other()}`);
      button?.setAttribute("title", `Switch to ${other()}`);
    };
    button?.addEventListener("click", () => {
      const wanted = other();
      if (wanted === (system.matches ? "dark" : "light")) {
        delete root.dataset.theme;
        kept?.removeItem(KEY);
      } else {
        root.dataset.theme = wanted;
        kept?.setItem(KEY, wanted);
      }
      say();
    });
    system.addEventListener("change", say);
    say();
  });
})();
