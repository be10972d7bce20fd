// Light or dark: as the system is, until the button was used. In the head and no module, so that nothing flashes.

const root = document.documentElement;
const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

try {
  if (["light", "dark"].includes(localStorage.theme)) root.dataset.theme = localStorage.theme;
} catch { /* no storage for this page: a choice lasts until it is left */ }

addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.theme = root.dataset.theme;
    } catch { /* likewise */ }
  });
});
