// Light or dark: the system's choice, unless the button chose otherwise. Loaded before the page is painted.
(function () {
  "use strict";
  const root = document.documentElement;
  const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const current = () => stored() || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  if (stored()) root.dataset.theme = stored();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const name = () => { button.textContent = current() === "dark" ? "Light" : "Dark"; };
    button.hidden = false;
    name();
    button.addEventListener("click", () => {
      const next = current() === "dark" ? "light" : "dark";
      root.dataset.theme = next;
      try { localStorage.setItem("theme", next); } catch { /* private mode: until the next page */ }
      name();
    });
  });
})();
