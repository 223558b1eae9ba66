// Shown until it is dismissed, which this browser alone remembers: the server keeps nothing of a visitor.
const KEY = "one-training-every-size.first-steps";

export default function ({ parentElement }) {
  const hint = parentElement.querySelector(".first");
  let dismissed = hint.dataset.dismissed === "yes";
  try { dismissed ||= localStorage.getItem(KEY) === "dismissed"; } catch { /* storage may be forbidden: then it is shown */ }
  hint.hidden = dismissed;
  hint.querySelector("button").onclick = () => {
    hint.dataset.dismissed = "yes";
    hint.hidden = true;
    try { localStorage.setItem(KEY, "dismissed"); } catch { /* as above: it comes back with the next visit */ }
  };
}
