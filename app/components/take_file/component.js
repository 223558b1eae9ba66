export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".take");
  const [button, label, said, busy, done, failed] =
    ["button", "button span", ".said", ".busy", ".done", ".failed"].map((part) => root.querySelector(part));
  const place = () => {
    const { run, width } = window.picked ?? {}; // set by live_slider
    return Math.max(0, data.widths.indexOf(run === data.run ? width : data.width));
  };
  const show = () => {
    label.textContent = data.labels[place()];
    said.textContent = data.said[place()];
  };
  if (root.address !== data.address) done.textContent = failed.textContent = ""; // it was about another file
  root.address = data.address;
  button.onclick = async () => {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    done.textContent = failed.textContent = "";
    busy.textContent = "Making the file and checking it…";
    try {
      const told = await handedOver(`${data.address}&width=${data.widths[place()]}`);
      const sum = Object.assign(document.createElement("code"), { textContent: told.sha256 });
      done.replaceChildren("✓ ", told.text, " To check that the copy is whole, compare its SHA-256: ", sum);
    } catch (error) {
      failed.textContent = `⚠ The file could not be made: ${error.message}`;
    } finally {
      busy.textContent = "";
      button.removeAttribute("aria-busy");
    }
  };
  show();
  window.addEventListener("picked", show);
  return () => window.removeEventListener("picked", show);
}

// Requests the file, lets the browser save it, and returns the server's description of it.
async function handedOver(address) {
  const answer = await fetch(new URL(address, location.href)).catch(() => {
    throw new Error("the server could not be reached; press the button again.");
  });
  const told = answer.headers.get("x-handed-over");
  if (!told) {
    const { problem } = await answer.json().catch(() => ({}));
    throw new Error(problem ?? `the server has no files to hand over (it answered ${answer.status}); was it started with app/server.py?`);
  }
  const found = JSON.parse(decodeURIComponent(told));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = found.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return found;
}
