export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".link");
  const [address, button, status] = ["code", "button", '[role="status"]'].map((part) => root.querySelector(part));
  if (address.textContent !== data.address) status.textContent = ""; // what was copied is no longer what is shown
  address.textContent = data.address;
  button.onclick = async () => {
    const copied = await navigator.clipboard?.writeText(data.address).then(() => true, () => false);
    status.textContent = copied || selected(data.address) ? "Copied." : "This browser lets nothing be copied; mark it by hand.";
    button.focus();
  };
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
