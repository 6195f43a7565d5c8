--- lurcher.report.script: the script of all pages. Without it a page shows the same; with it
--   tables of class "sort"     sort by a click on a column's head, numbers by the attribute data-v of their cells
--   figures                    enlarge an image by a click
--   charts                     show the values of the nearest point, under the pointer or a finger
--   bars of a profile          fill the width by a click ("zoom"), and show their figures below
--   a page with data-refresh   loads again after so many seconds, where it was scrolled to
-- It reads texts of the page and writes them as text, never as HTML. Its hash is in every page's content security
-- policy; tests/lua/report.lua computes it, and names the new one after a change.

local script = {}

script.hash = "sha256-yBNUskZrqkoo0GSjyYXNeBv1XetPCQy33+5e6/qqCz8="

script.text = [[
"use strict";
const all = (css, root) => Array.from((root || document).querySelectorAll(css));
const make = (tag, css, text) => {
  const made = document.createElement(tag);
  if (css) made.className = css;
  if (text) made.textContent = text;
  return made;
};

for (const table of all("table.sort")) {
  const body = table.tBodies[0];
  all("thead th", table).forEach((head, column) => {
    const button = make("button", "", head.textContent);
    head.replaceChildren(button);
    button.onclick = () => {
      const rows = Array.from(body.rows), value = row => row.cells[column].dataset.v;
      const numbers = rows.some(row => value(row) !== undefined);
      const was = head.getAttribute("aria-sort");
      const up = was ? was !== "ascending" : !numbers;
      const key = row => numbers ? parseFloat(value(row)) : row.cells[column].textContent;
      rows.sort((a, b) => {
        const x = key(a), y = key(b);
        if (!numbers) return (up ? 1 : -1) * x.localeCompare(y, undefined, { numeric: true });
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
        return up ? x - y : y - x;
      });
      all("thead th", table).forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      body.append(...rows);
    };
  });
}

const images = all("figure img");
if (images.length > 0 && window.HTMLDialogElement) {
  const dialog = document.body.appendChild(make("dialog"));
  const large = dialog.appendChild(make("img")), caption = dialog.appendChild(make("p"));
  let shown = 0;
  const show = i => {
    shown = (i + images.length) % images.length;
    const from = images[shown], text = from.closest("figure").querySelector("figcaption");
    large.src = from.src;
    large.alt = from.alt;
    caption.replaceChildren(...Array.from(text ? text.cloneNode(true).childNodes : []));
    if (!dialog.open) dialog.showModal();
  };
  images.forEach((image, i) => {
    image.classList.add("pick");
    image.tabIndex = 0;
    image.setAttribute("role", "button");
    image.onclick = () => show(i);
    image.onkeydown = event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      show(i);
    };
  });
  dialog.onclick = () => dialog.close();
  dialog.onkeydown = event => {
    if (event.key === "ArrowRight") show(shown + 1);
    if (event.key === "ArrowLeft") show(shown - 1);
  };
}

for (const chart of all("svg.chart")) {
  const titled = all("circle,rect", chart).filter(shape => shape.querySelector("title"));
  if (titled.length === 0) continue;
  const readout = make("div", "readout");
  chart.after(readout);
  chart.classList.add("pick");
  const middle = shape => {
    const box = shape.getBBox();
    return box.x + box.width / 2;
  };
  const read = event => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    let least = Infinity;
    for (const shape of titled) least = Math.min(least, Math.abs(middle(shape) - point.x));
    const near = titled.filter(shape => Math.abs(middle(shape) - point.x) < least + 0.06);
    readout.textContent = near.map(shape => shape.querySelector("title").textContent).slice(0, 8).join(" \u00b7 ");
  };
  chart.onpointermove = read;
  chart.onpointerdown = read;
}

for (const map of all("svg.map")) {
  const readout = make("div", "readout");
  map.after(readout);
  const read = event => {
    const title = event.target.closest("g") && event.target.closest("g").querySelector("title");
    if (title) readout.textContent = title.textContent;
  };
  map.onpointermove = read;
  map.onpointerdown = read;
}

for (const flame of all(".flame")) {
  const readout = make("div", "readout");
  flame.after(readout);
  const hidden = new Set();
  const zoom = bar => {
    hidden.forEach(part => { part.hidden = false; });
    hidden.clear();
    for (let node = bar.parentNode; node !== flame; node = node.parentNode) {
      if (node.parentNode.classList.contains("row")) {
        for (const other of node.parentNode.children) {
          if (other !== node) { other.hidden = true; hidden.add(other); }
        }
      }
    }
    all(".above", flame).forEach(part => part.classList.remove("above"));
    for (let node = bar.parentNode; node !== flame; node = node.parentNode) {
      const row = node.classList.contains("row") && node.previousElementSibling;
      if (row) row.classList.add("above");
    }
  };
  const read = event => {
    const bar = event.target.closest(".name");
    if (bar) readout.textContent = bar.title;
    return bar;
  };
  flame.onpointermove = read;
  flame.onclick = event => {
    const bar = read(event);
    if (bar) zoom(bar);
  };
}

const seconds = parseFloat(document.body.dataset.refresh);
if (seconds > 0) {
  const again = () => {
    const busy = document.hidden || document.querySelector("dialog[open]");
    if (busy) setTimeout(again, 1000); else location.reload();
  };
  setTimeout(again, 1000 * seconds);
}
]]

return script
