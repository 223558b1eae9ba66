// Sends a selected size from the slider to the server: at once where the page has content that only the server can
// render, else when the visitor turns to another part of the page. A pick is kept until the server confirms it. On the
// way to another page it is kept for the return: a message of this page that arrives after the next one was requested
// would leave that page empty.
export default function ({ data, setTriggerValue }) {
  const picks = (window.picks ??= { open: new Set() }); // whichever of the parts is there first
  picks.atOnce = data.at_once;
  picks.tell = () => {
    const pick = picks.waiting;
    if (!pick || pick.told || pick.run !== data.run) return;
    pick.told = true;
    setTriggerValue("picked", { width: pick.width, number: pick.number });
  };
  if (picks.waiting?.number <= data.heard) delete picks.waiting;
  if (picks.atOnce) picks.tell();
  if (picks.ready) return;
  picks.ready = true;
  const own = (element) => element.tagName === "A" || ["live", "st-key-curve"].some((name) => element.classList?.contains(name));
  const elsewhere = (event) => {
    if (!event.composedPath().some(own)) picks.tell();
  };
  for (const kind of ["pointerdown", "keydown", "focusin", "click"]) window.addEventListener(kind, elsewhere, true);
  // Back and Forward bring what the address says, which is another size than the one that was picked last
  window.addEventListener("popstate", () => delete picks.waiting, true);
}
