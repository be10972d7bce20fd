// Light or dark, as the button was left. No module, so that nothing flashes.

const root = document.documentElement;
if (localStorage.theme) root.dataset.theme = localStorage.theme;

addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  button.hidden = false;
  button.onclick = () => {
    const is = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = localStorage.theme = is === "dark" ? "light" : "dark";
  };
});
