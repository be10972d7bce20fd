// Light or dark, as last chosen. Not a module: it must run before the first paint.

const root = document.documentElement;
if (localStorage.theme) root.dataset.theme = localStorage.theme;

addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  button.hidden = false;
  button.onclick = () => {
    const current = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = localStorage.theme = current === "dark" ? "light" : "dark";
  };
});
