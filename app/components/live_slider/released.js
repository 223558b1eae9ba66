// The way from the slider to the server. It hears of a pick at once where the page shows what only it can say of the
// size, else as soon as the hand goes on to something else: until then there is nothing that it could do. A pick waits
// until the server says that it heard of it. On the way to another page it goes on waiting, for whoever comes back: a
// message of this page that comes after the next one was asked for would leave that one empty.
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
