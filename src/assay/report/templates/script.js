"use strict";
// Tables can be sorted and filtered, the text copied. Everything is there without this script.
function sortable(table) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
      const compare = (a, b) => {
        const x = key(a), y = key(b);
        return x !== "" && y !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y, "en", { numeric: true });
      };
      body.append(...[...body.rows].sort((a, b) => (down ? compare(b, a) : compare(a, b))));
    });
  });
}
function filterable(table) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  const found = document.createElement("span");
  label.className = "filter";
  label.textContent = "Show rows with ";
  input.setAttribute("aria-label", `${table.caption.textContent}: show rows with`);
  input.type = "search";
  found.setAttribute("role", "status");
  label.append(input, " ", found);
  table.closest(".sheet").prepend(label);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      shown += row.hidden ? 0 : 1;
    }
    found.textContent = words.length ? `${shown} of ${table.tBodies[0].rows.length}` : "";
  });
}
// A box that is wider than the page says so, until its end is seen.
function scrollable(box, what) {
  const words = document.createElement("p");
  words.className = "aside";
  words.textContent = `More ${what} to the right: scroll sideways \u2192`;
  box.before(words);
  const tell = () => (words.style.visibility = box.scrollLeft + box.clientWidth < box.scrollWidth - 2 ? "" : "hidden");
  const fit = () => ((words.hidden = box.scrollWidth <= box.clientWidth + 2), tell());
  box.addEventListener("scroll", tell, { passive: true });
  new ResizeObserver(fit).observe(box);
  fit();
}
document.querySelectorAll("table").forEach(sortable);
document.querySelectorAll(".sheet .box").forEach((box) => scrollable(box, "columns"));
document.querySelectorAll(".picture .box").forEach((box) => scrollable(box, "images"));
document.querySelectorAll("table[data-long]").forEach(filterable);
const copy = document.getElementById("copy");
copy.hidden = false;
copy.addEventListener("click", async () => {
  const done = document.getElementById("copied");
  const uri = document.getElementById("words").href;
  try {
    await navigator.clipboard.writeText(decodeURIComponent(uri.slice(uri.indexOf(",") + 1)));
    done.textContent = "Copied.";
  } catch {
    done.textContent = "This browser does not let a page copy: save it instead.";
  }
});
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
// A link to a cell opens what it is folded in, scrolls to it and marks it.
function reveal() {
  const cell = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!cell) return;
  for (let box = cell.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  cell.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", reveal);
reveal();
// Pointing at a mark of a recipe fades those of all others, in every figure.
document.addEventListener("pointerover", (event) => {
  const level = event.target.closest?.("[data-level]")?.dataset.level;
  document.documentElement.classList.toggle("faded", Boolean(level));
  document.querySelectorAll("[data-level]").forEach((one) => one.classList.toggle("same", one.dataset.level === level));
});
