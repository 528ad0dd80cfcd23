"use strict";
for (const table of document.querySelectorAll("table")) {
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
      const sorted = [...body.rows].sort((a, b) => (down ? compare(b, a) : compare(a, b)));
      body.append(...sorted);
    });
  });
  if (!("long" in table.dataset)) continue;
  const label = document.createElement("label");
  const input = document.createElement("input");
  label.className = "filter";
  label.textContent = `Show rows of “${table.dataset.name}” with`;
  input.type = "search";
  label.append(input);
  table.closest(".sheet").prepend(label);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of body.rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  });
}
const copy = document.getElementById("copy");
copy.hidden = false;
copy.addEventListener("click", async () => {
  const words = document.getElementById("words");
  const done = document.getElementById("copied");
  try {
    await navigator.clipboard.writeText(words.value);
    done.textContent = "Copied.";
  } catch {
    words.hidden = false;
    words.select();
    done.textContent = "Selected below: copy it with the keyboard.";
  }
});
