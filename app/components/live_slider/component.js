// Follows the thumb in the browser; a size is sent to the server only after the slider is released.
const QUIET_MS = 250; // between the last key and telling the server, so that held arrows send one message
const PAGE = 0.1; // of the slider's length, for Page Up and Page Down

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".live");
  const input = root.querySelector("input");
  const state = (root.state ??= { index: 0, moving: false, byHand: false, timer: null, turn: null, picked: null });
  const picks = (window.picks ??= { open: new Set() }); // see released.js
  const first = data.rows[0].place;
  const span = data.rows.at(-1).place - first || 1;
  const places = data.rows.map((row) => (row.place - first) / span); // 0 to 1, ascending: the chart's log axis
  Object.assign(state, { data, places });

  const tapped = (x) => { // the nearest size along the chart's axis, which is the slider's
    let best = 0;
    const rows = state.data.rows;
    rows.forEach((row, k) => { if (Math.abs(row.x - x) < Math.abs(rows[best].x - x)) best = k; });
    settle(best);
    tell();
  };
  const show = (index) => {
    state.index = index;
    const row = state.data.rows[index];
    for (const part of root.querySelectorAll("[data-part]")) {
      const name = part.dataset.part;
      part.textContent =
        name === "label" ? state.data.label
        : name === "interval" ? `95\u00a0% interval: ${row.interval}`
        : row[name];
    }
    root.querySelector('[data-card="time"]').hidden = !row.time;
    input.setAttribute("aria-valuetext", `${row.units}: ${row.value}, ${row.size}, ${row.change}`);
    root.dataset.width = row.width;
    const chart = chartOf(state.data.chart, tapped);
    mark(chart, row, state.data.colours);
    if (!chart) state.coming ??= whenThere(state.data.chart, () => { state.coming = null; show(state.index); });
    if (state.moving) offer.style.visibility = "hidden";
    say();
  };
  const say = () => { // for the live parts of the page
    window.picked = { run: state.data.run, width: state.data.rows[state.index].width, moving: state.moving };
    window.dispatchEvent(new Event("picked"));
  };
  const inAddress = (width) => { // what is on the screen
    const address = location.href.replace(/([?&]width=)\d+/, `$1${width}`);
    if (address === location.href) return;
    try {
      history.pushState({}, "", address);
    } catch {} // Safari allows a hundred in half a minute; the server corrects it when the pick arrives
  };
  const fill = () => input.style.setProperty("--fill", `${100 * Number(input.value)}%`);
  const settle = (index) => { // thumb and readout on a size that there is
    input.value = String(state.places[index]);
    fill();
    show(index);
  };
  const nearest = (place) => {
    let best = 0;
    state.places.forEach((p, k) => { if (Math.abs(p - place) < Math.abs(state.places[best] - place)) best = k; });
    return best;
  };
  const step = (by) => { // a page moves at least one size
    const at = state.places[state.index] + by * PAGE;
    const index = nearest(at);
    return index === state.index ? index + by : index;
  };
  const offer = root.querySelector(".offer");
  const showOffer = () => { // of a faster size; not while the hand moves, as what is below would move too
    const found = state.data.rows[state.index].faster;
    offer.hidden = !found;
    offer.style.visibility = "visible";
    for (const part of offer.children) part.textContent = found?.[part.dataset.offer] ?? "";
  };
  const tell = () => {
    clearTimeout(state.timer);
    state.timer = null;
    state.moving = false;
    say();
    showOffer();
    const width = state.data.rows[state.index].width;
    if (width === state.picked) return;
    state.picked = width;
    picks.number = (picks.number ?? 0) + 1;
    picks.waiting = { run: state.data.run, width, number: picks.number, told: false };
    if (picks.atOnce || picks.open.size) picks.tell?.();
    else inAddress(width);
  };
  const moveByKey = (index) => {
    state.moving = true;
    settle(Math.min(Math.max(index, 0), state.places.length - 1));
    clearTimeout(state.timer);
    state.timer = setTimeout(tell, QUIET_MS);
  };

  if (!state.ready) {
    state.ready = true;
    const keys = {
      ArrowRight: () => state.index + 1, ArrowUp: () => state.index + 1,
      ArrowLeft: () => state.index - 1, ArrowDown: () => state.index - 1,
      PageUp: () => step(1), PageDown: () => step(-1),
      Home: () => 0, End: () => state.places.length - 1,
    };
    input.addEventListener("keydown", (event) => {
      const target = event.ctrlKey || event.altKey || event.metaKey ? null : keys[event.key];
      if (!target) return;
      event.preventDefault();
      moveByKey(target());
    });
    const release = () => {
      state.byHand = state.moving = false;
      for (const end of ["pointerup", "pointercancel"]) window.removeEventListener(end, release);
    };
    input.addEventListener("pointerdown", () => {
      if (state.timer) tell(); // what a key picked a moment ago; its answer must not move the thumb in the hand
      state.byHand = state.moving = true;
      for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, release);
    });
    input.addEventListener("input", () => {
      fill();
      const place = Number(input.value);
      const index = nearest(place);
      // a screen reader's own step may be smaller than the way to the next size: it still moves one on
      if (!state.byHand && index === state.index) moveByKey(index + Math.sign(place - state.places[index]));
      else show(index);
    });
    input.addEventListener("change", () => {
      settle(state.index);
      tell();
    });
    input.addEventListener("blur", () => { // before what the hand goes on to, which must have the last word
      if (state.timer) tell();
    });
    offer.querySelector("button").addEventListener("click", () => {
      const { rows } = state.data, { width } = rows[state.index].faster;
      settle(rows.findIndex((row) => row.width === width));
      tell();
      input.focus(); // the button may be gone
    });
  }

  // the server's word counts once for each time that it built the whole page; afterwards the hand's does
  if (state.turn === data.turn) return;
  state.turn = data.turn;
  const unheard = picks.waiting?.run === data.run && picks.waiting.number > data.heard; // the page was built without it
  if (unheard) picks.waiting.told = false;
  state.picked = unheard ? picks.waiting.width : data.width;
  if (state.moving) return; // the hand has the last word
  const index = data.rows.findIndex((row) => row.width === state.picked);
  settle(index < 0 ? data.rows.length - 1 : index);
  showOffer();
  if (unheard) picks.tell?.();
}
