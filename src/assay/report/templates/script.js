"use strict";
// Sort and filter tables, copy texts, highlight recipes. Everything is there without this script.
const all = (what, from = document) => [...from.querySelectorAll(what)];
const made = (name, parts) => Object.assign(document.createElement(name), parts);
for (const table of all("table")) {
  const body = table.tBodies[0], heads = all("th", table);
  heads.forEach((head, i) => {
    const button = made("button", { type: "button", textContent: head.firstChild?.textContent });
    head.firstChild?.replaceWith(button);
    button.onclick = () => {
      const up = head.ariaSort !== "ascending";
      for (const other of heads) other.ariaSort = null;
      head.ariaSort = up ? "ascending" : "descending";
      const key = ({ cells }) => cells[i].dataset.sort ?? cells[i].textContent;
      const order = (a, b) => (a && b && !isNaN(a - b) ? a - b : a.localeCompare(b, "en", { numeric: true }));
      body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * order(key(a), key(b))));
    };
  });
  if (!("long" in table.dataset)) continue;
  const input = made("input", { type: "search" }), found = made("span", { role: "status" });
  const label = made("label", { className: "filter", textContent: "Filter rows: " });
  label.append(input, " ", found);
  table.closest(".sheet").prepend(label);
  input.oninput = () => {
    const words = input.value.toLowerCase().split(/\s+/), rows = [...body.rows];
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    found.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  };
}
for (const button of all("[data-copy]")) {
  const from = window[button.dataset.copy], say = (text) => () => (button.nextElementSibling.textContent = text);
  button.hidden = false;
  button.onclick = () =>
    navigator.clipboard
      .writeText(from.href ? decodeURIComponent(from.href.replace(/.*?,/, "")) : from.innerText)
      .then(say("Copied."), say("This browser does not let a page copy."));
}
// A link to a cell opens what it is folded in, scrolls to it and marks it.
(onhashchange = () => {
  const cell = document.getElementById(location.hash.slice(1));
  for (let box = cell; (box = box?.parentElement?.closest("details")); ) box.open = true;
  cell?.scrollIntoView({ block: cell.matches("td") ? "center" : "start", inline: "nearest" });
})();
// A click on an image shows it large with its words; arrow keys or a swipe go on, Escape or a click closes.
const shown = all("main figure:has(img)"), large = made("dialog", { ariaLabel: "Image" });
let at = 0;
const enlarge = (to) => {
  at = (to + shown.length) % shown.length;
  large.replaceChildren(...all("img,figcaption", shown[at]).map((part) => part.cloneNode(true)));
};
shown.forEach((one, i) => {
  for (const image of all("img", one)) {
    const button = made("button", { type: "button", className: "zoom", ariaLabel: `Enlarge: ${image.alt}` });
    image.replaceWith(button);
    button.append(image);
    button.onclick = () => (enlarge(i), large.showModal());
  }
});
let began = 0;
large.onpointerdown = ({ clientX }) => (began = clientX);
large.onpointerup = ({ clientX }) =>
  Math.abs(clientX - began) > 40 ? enlarge(at - Math.sign(clientX - began)) : large.close();
large.onkeydown = ({ key }) => enlarge(at + (key === "ArrowRight") - (key === "ArrowLeft"));
document.body.append(large);
onbeforeprint = () => all("details.print").forEach((part) => (part.open = true));
// Pointing at a mark says its value at once and fades those of all other recipes, in every figure.
const hint = made("div", { id: "hint", hidden: true });
document.body.append(hint);
onpointerover = ({ target, clientX, clientY }) => {
  const level = target.closest?.("[data-level]")?.dataset.level, title = target.closest?.("svg g")?.firstElementChild;
  document.documentElement.classList.toggle("faded", level !== undefined);
  for (const one of all("[data-level]")) one.classList.toggle("same", one.dataset.level === level);
  hint.hidden = title?.tagName !== "title";
  hint.textContent = hint.hidden ? "" : title.textContent;
  hint.style = `left:${Math.min(clientX + 12, innerWidth - 260)}px;top:${clientY + 14}px`;
};
