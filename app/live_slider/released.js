// The way from the slider to the server. It hears of a pick at once where the page shows what only it can say of the
// size, else as soon as the hand goes on to something else: until then there is nothing that it could do.
export default function ({ data, setTriggerValue }) {
  const picks = (window.picks ??= { open: new Set() }); // whichever of the parts is there first
  picks.run = data.run;
  picks.atOnce = data.at_once;
  picks.tell = () => {
    const { run, width } = picks.waiting ?? {};
    delete picks.waiting;
    if (run === data.run) setTriggerValue("picked", width);
  };
  if (picks.waiting && picks.atOnce) picks.tell();
  if (picks.ready) return;
  picks.ready = true;
  const own = (element) => element.classList?.contains("live") || element.classList?.contains("st-key-curve");
  const elsewhere = (event) => {
    if (!event.composedPath().some(own)) picks.tell();
  };
  for (const kind of ["pointerdown", "keydown", "focusin", "click"]) window.addEventListener(kind, elsewhere, true);
  // Back and Forward bring what the address says, which is another size than the one that was picked last
  window.addEventListener("popstate", () => delete picks.waiting, true);
}
