// Strokes are drawn in the browser; the server gets a small copy of the ink when a stroke ends.
const STROKE = 0.075; // of the side: about as thick as the strokes of the pictures that networks learn from

export default function ({ data, parentElement, setStateValue }) {
  const canvas = parentElement.querySelector("canvas");
  const state = (canvas.state ??= { last: null, pointer: null });
  state.send = setStateValue;
  state.side = data.side;
  if (state.ready) return;
  state.ready = true;
  const pen = canvas.getContext("2d");
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
  };
  const stroke = (to) => {
    const ink = getComputedStyle(canvas).color; // the theme's, which may have changed
    Object.assign(pen, { lineWidth: STROKE * canvas.width, lineCap: "round", lineJoin: "round", strokeStyle: ink });
    pen.beginPath();
    pen.moveTo(...state.last);
    pen.lineTo(...to);
    pen.stroke();
    state.last = to;
  };
  const small = () => { // how much ink is on each pixel of a small copy, a byte each
    const copy = Object.assign(document.createElement("canvas"), { width: state.side, height: state.side });
    const context = copy.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(canvas, 0, 0, state.side, state.side);
    const pixels = context.getImageData(0, 0, state.side, state.side).data;
    let bytes = "";
    for (let k = 3; k < pixels.length; k += 4) bytes += String.fromCharCode(pixels[k]);
    return btoa(bytes);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (state.last || event.button !== 0) return; // a second finger draws no line to the first
    canvas.setPointerCapture(event.pointerId); // a stroke that leaves the square goes on
    state.pointer = event.pointerId;
    state.last = place(event);
    stroke([state.last[0] + 0.1, state.last[1]]); // a tap is a dot
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!state.last || event.pointerId !== state.pointer) return;
    for (const step of event.getCoalescedEvents?.() ?? []) stroke(place(step));
    stroke(place(event));
  });
  const end = (event) => {
    if (!state.last || event.pointerId !== state.pointer) return;
    state.last = null;
    state.send("ink", small());
  };
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, end);
  parentElement.querySelector("button").onclick = () => {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    state.last = null;
    state.send("ink", "");
  };
}
