// Shows the address of the size that the slider is on, which an event announces, see live_slider.
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".link");
  const [address, button, status] = ["code", "button", '[role="status"]'].map((part) => root.querySelector(part));
  const show = () => {
    const { run, width } = window.picked ?? {};
    const shown = run === data.run ? data.address.replace(/([?&]width=)\d+/, `$1${width}`) : data.address;
    if (address.textContent !== shown) status.textContent = ""; // what was copied is no longer what is shown
    address.textContent = shown;
  };
  button.onclick = async () => {
    const shown = address.textContent;
    const copied = await navigator.clipboard?.writeText(shown).then(() => true, () => false);
    status.textContent = copied || selected(shown) ? "Copied." : "This browser lets nothing be copied; mark it by hand.";
    button.focus();
  };
  show();
  window.addEventListener("picked", show);
  return () => window.removeEventListener("picked", show);
}

// Without https a browser has no clipboard to write to, but still copies what is selected.
function selected(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed";
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  return copied;
}
