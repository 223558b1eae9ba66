// The thumb is followed here, in the browser; the server hears of a size only when the hand lets go.
const QUIET_MS = 250; // between the last key and telling the server, so that held arrows send one message

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".live");
  const input = root.querySelector("input");
  const state = (root.state ??= { moving: false, timer: null, sent: null });
  Object.assign(state, { data, setTriggerValue });

  const show = () => {
    const row = state.data.rows[Number(input.value)];
    for (const part of root.querySelectorAll("[data-part]")) {
      const name = part.dataset.part;
      part.textContent =
        name === "label" ? state.data.label
        : name === "interval" ? `95 % sure: ${row.interval}`
        : row[name];
    }
    root.querySelector('[data-card="time"]').hidden = !row.time;
    input.setAttribute("aria-valuetext", `${row.units}: ${row.value}, ${row.size}`);
    root.dataset.width = row.width;
  };
  const tell = () => {
    clearTimeout(state.timer);
    state.moving = false;
    const width = state.data.rows[Number(input.value)].width;
    if (width !== state.data.width) state.setTriggerValue("picked", width);
  };

  if (!state.ready) {
    state.ready = true;
    input.addEventListener("input", () => {
      state.moving = true;
      show();
    });
    input.addEventListener("keydown", () => { state.byKey = true; });
    input.addEventListener("pointerdown", () => { state.byKey = false; });
    input.addEventListener("change", () => {
      clearTimeout(state.timer);
      state.timer = setTimeout(tell, state.byKey ? QUIET_MS : 0);
    });
  }

  input.max = data.rows.length - 1;
  if (!state.moving) {
    const index = data.rows.findIndex((row) => row.width === data.width);
    input.value = String(index < 0 ? data.rows.length - 1 : index);
  }
  show();
}
