// Streamlit follows the light and dark of the system at once, but what the server drew stays as it was: ask for it anew.
const NARROW = 768; // pixels of a window; below it Streamlit lays the list of pages over the page

export default function ({ setTriggerValue }) {
  const watch = (window.themeWatch ??= {}); // one for the window, whatever becomes of this element
  watch.tell = setTriggerValue;
  if (watch.on) return;
  watch.on = true;
  const app = document.querySelector(".stApp");
  const scheme = () => getComputedStyle(app).colorScheme;
  let shown = scheme();
  new MutationObserver(() => {
    const now = scheme();
    if (now === shown) return;
    shown = now;
    watch.tell("changed", now);
  }).observe(app, { attributes: true, attributeFilter: ["class"] });

  // a page that is chosen from the list is not left lying under it
  document.addEventListener("click", (event) => {
    if (innerWidth < NARROW && event.target.closest('[data-testid="stSidebarNav"] a'))
      setTimeout(() => document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click());
  });
}
