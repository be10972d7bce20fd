// Light or dark: what the system says, until the button was used. In the head and not a module, so that nothing flashes.

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

function kept(choice) {
  try {
    if (choice) localStorage.theme = choice;
    return localStorage.theme;
  } catch {
    return choice; // no storage for this page: the choice lasts until it is left
  }
}

if (["light", "dark"].includes(kept())) root.dataset.theme = kept();

addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    root.dataset.theme = kept(isDark() ? "light" : "dark");
    name();
  });
  dark.addEventListener("change", name);
  name();
  button.hidden = false;
});
