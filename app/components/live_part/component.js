// Shows the content of the size that the slider is on, which an event announces, see live_slider.
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".live-part");
  const element = (name, look, text = "") => Object.assign(document.createElement(name), { className: look, textContent: text });
  const cards = element("div", "shown many");
  for (const card of data.cards) {
    const figure = element("figure"), image = element("img");
    Object.assign(image, { src: card.image, alt: card.alt });
    figure.append(image, element("figcaption"));
    cards.append(figure);
  }
  const answer = (index) => data.cards.forEach((card, k) => {
    const [[first, ...rest], wrong] = card.says[data.answers[index][k]];
    const figure = cards.children[k];
    figure.className = wrong ? "wrong" : "";
    figure.lastChild.replaceChildren(element("b", "", first), ...rest.flatMap((line) => [element("br"), line]));
  });
  const paragraph = ([look, text, bold]) => {
    if (look === "cards") return cards;
    const found = element(look === "heading" ? "h3" : "p", look, bold ? ` ${text}` : text);
    if (bold) found.prepend(element("b", "", bold));
    return found;
  };
  let shown = null;
  const show = () => {
    const { run, width, moving } = window.picked ?? {};
    const index = data.widths.indexOf(run === data.run ? width : data.width);
    // while the hand moves, nothing below moves with it: a text that gets shorter keeps its place
    if (moving && !root.style.minHeight) root.style.minHeight = `${root.offsetHeight}px`;
    if (!moving) root.style.minHeight = "";
    if (data.readOut) root.setAttribute("aria-busy", String(Boolean(moving)));
    if (index === shown || index < 0) return;
    shown = index;
    answer(index);
    root.replaceChildren(...data.lines[index].map(paragraph));
  };
  if (data.readOut) root.setAttribute("aria-live", "polite");
  show();
  window.addEventListener("picked", show);
  return () => window.removeEventListener("picked", show);
}
