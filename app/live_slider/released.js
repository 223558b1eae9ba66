// The way from the slider to the server: there is one in the window, whichever of the two parts is there first.
export default function ({ setTriggerValue }) {
  const picks = (window.picks ??= {});
  picks.tell = (width) => setTriggerValue("picked", width);
  if (picks.waiting) picks.tell(picks.waiting);
  delete picks.waiting;
}
