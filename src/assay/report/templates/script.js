"use strict";
// Sort and filter tables, copy texts, highlight recipes. Everything is there without this script.
const all = (what, from = document) => [...from.querySelectorAll(what)];
const made = (name, parts) => Object.assign(document.createElement(name), parts);
for (const table of all("table")) {
  const body = table.tBodies[0];
  all("thead th", table).forEach((head, column) => {
    const button = made("button", { type: "button", textContent: head.textContent });
    head.replaceChildren(button);
    button.onclick = () => {
      const down = head.ariaSort === "ascending";
      all("th", table).forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
      const order = (a, b) => (a && b && !isNaN(a - b) ? a - b : a.localeCompare(b, "en", { numeric: true }));
      body.append(...[...body.rows].sort((a, b) => (down ? -1 : 1) * order(key(a), key(b))));
    };
  });
  if (!("long" in table.dataset)) continue;
  const input = made("input", { type: "search", ariaLabel: `${table.caption.textContent}: show rows with` });
  const found = made("span", { role: "status" });
  const label = made("label", { className: "filter", textContent: "Show rows with " });
  label.append(input, " ", found);
  table.closest(".sheet").prepend(label);
  input.oninput = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean), rows = [...body.rows];
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    found.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
  };
}
// A box that is wider than the page says so, until its end is seen.
for (const box of all(".sheet .box, .picture .box")) {
  const what = box.matches(".sheet *") ? "columns" : "images";
  const words = made("p", { className: "aside", textContent: `More ${what} to the right: scroll sideways \u2192` });
  box.before(words);
  const tell = () => {
    words.hidden = box.scrollWidth <= box.clientWidth + 2;
    words.style.visibility = box.scrollLeft + box.clientWidth < box.scrollWidth - 2 ? "" : "hidden";
  };
  box.onscroll = tell;
  new ResizeObserver(tell).observe(box);
}
for (const button of all("[data-copy]")) {
  const from = document.getElementById(button.dataset.copy), uri = from.href;
  button.hidden = false;
  button.onclick = () =>
    navigator.clipboard.writeText(uri ? decodeURIComponent(uri.slice(uri.indexOf(",") + 1)) : from.innerText).then(
      () => (button.nextElementSibling.textContent = "Copied."),
      () => (button.nextElementSibling.textContent = "This browser does not let a page copy."),
    );
}
// A link to a cell opens what it is folded in, scrolls to it and marks it.
const reveal = () => {
  const cell = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let box = cell; (box = box?.parentElement?.closest("details")); ) box.open = true;
  cell?.scrollIntoView({ block: "center", inline: "nearest" });
};
onhashchange = reveal;
reveal();
onbeforeprint = () => all("details.print").forEach((part) => (part.open = true));
// Pointing at a mark of a recipe fades those of all others, in every figure.
document.onpointerover = (event) => {
  const level = event.target.closest?.("[data-level]")?.dataset.level;
  document.documentElement.classList.toggle("faded", level !== undefined);
  for (const one of all("[data-level]")) one.classList.toggle("same", one.dataset.level === level);
};
