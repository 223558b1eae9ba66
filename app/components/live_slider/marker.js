// The picked size on the chart. Plotly draws the curve once; the mark lies over it and follows the hand by itself.
const PLOTTED = ".nsewdrag"; // the rectangle that Plotly lays over the plotted area
const STAR = "M12 1l3.2 7.2 7.8.8-5.8 5.3 1.6 7.7L12 18l-6.8 4 1.6-7.7L1 9l7.8-.8z";
const TAP_PX = 8; // a finger that moves further scrolls the page
const NEAR_END = 0.75; // of the axis; beyond it the label stands on the other side

function newMark() {
  const mark = document.createElement("div");
  mark.className = "picked-mark";
  mark.setAttribute("aria-hidden", "true"); // the slider says the same to a screen reader
  Object.assign(mark.style, { position: "absolute", pointerEvents: "none", width: "0", height: "0", zIndex: "2" });
  mark.innerHTML = `<svg viewBox="0 0 24 24" width="24" height="24" style="position:absolute;left:-12px;top:-12px">
    <path d="${STAR}" stroke-width="1.5" stroke-linejoin="round"></path></svg>
    <span style="position:absolute;padding:1px 7px;border-radius:6px;font-size:13px;line-height:18px;
      white-space:nowrap;font-weight:600"></span>`;
  return mark;
}

function plotted(host) {
  const plot = host.querySelector(PLOTTED)?.getBoundingClientRect();
  return plot && plot.width > 0 ? plot : null;
}

function place(chart) {
  const plot = plotted(chart.host), row = chart.row;
  if (!plot || !row) return void (chart.mark.style.display = "none");
  const host = chart.host.getBoundingClientRect();
  const left = plot.left - host.left + row.x * plot.width;
  const top = plot.top - host.top + (1 - row.y) * plot.height;
  const { ink, paper, star } = chart.colours;
  Object.assign(chart.mark.style, { display: "block", transform: `translate(${left}px, ${top}px)`, left: "0", top: "0" });
  const path = chart.mark.querySelector("path"), label = chart.mark.querySelector("span");
  path.setAttribute("fill", star);
  path.setAttribute("stroke", ink);
  label.textContent = row.out ? `${row.units} (outside this view)` : row.units;
  Object.assign(label.style, {
    color: ink, background: paper, border: `1px solid ${star}`, fontFamily: "inherit",
    [row.x > NEAR_END ? "right" : "left"]: "14px", [row.x > NEAR_END ? "left" : "right"]: "auto",
    top: row.y > NEAR_END ? "8px" : "-30px",
  });
}

function followTaps(host, onTap) {
  let down = null;
  host.addEventListener("pointerdown", (event) => {
    const plot = plotted(host);
    const inside = plot && event.clientX >= plot.left && event.clientX <= plot.right &&
      event.clientY >= plot.top && event.clientY <= plot.bottom;
    down = inside && event.isPrimary && event.button === 0 ? { x: event.clientX, y: event.clientY, plot } : null;
  }, true);
  window.addEventListener("pointerup", (event) => { // on the window, as Plotly covers the chart while a button is down
    if (down && Math.hypot(event.clientX - down.x, event.clientY - down.y) <= TAP_PX)
      onTap((event.clientX - down.plot.left) / down.plot.width);
    down = null;
  }, true);
  window.addEventListener("pointercancel", () => { down = null; }, true);
}

// Calls once the container with this class is on the page, which is drawn from top to bottom.
function whenThere(name, then) {
  const watch = new MutationObserver(() => {
    if (!document.querySelector(`.st-key-${name}`)) return;
    watch.disconnect();
    then();
  });
  watch.observe(document.body, { subtree: true, childList: true });
  return watch;
}

// The chart with this container's class, once it is there; `onTap(x)` is called with the place of a tap, 0 to 1 from the left.
function chartOf(name, onTap) {
  const host = document.querySelector(`.st-key-${name}`);
  if (!host) return null;
  if (!host.pickedChart) {
    const chart = { host, mark: newMark(), row: null, colours: {}, onTap };
    host.pickedChart = chart;
    host.style.position = "relative";
    let waiting = false;
    const soon = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; place(chart); });
    };
    new MutationObserver((seen) => { // the mark's own changes would call for the next, at every frame for ever
      if (seen.some((change) => !chart.mark.contains(change.target))) soon();
    }).observe(host, {
      subtree: true, childList: true, attributes: true, attributeFilter: ["width", "height", "x", "y"],
    });
    new ResizeObserver(soon).observe(host);
    followTaps(host, (x) => chart.onTap(x));
    host.append(chart.mark);
  }
  host.pickedChart.onTap = onTap; // of the slider that is on the page now
  return host.pickedChart;
}

function mark(chart, row, colours) {
  if (!chart) return;
  chart.row = row;
  chart.colours = colours;
  place(chart);
}
