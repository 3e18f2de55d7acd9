"use strict";
(() => {
  // Links and :target show the trials of a cell without this script; it moves the focus there and back.
  let opener = null;
  const opened = () => {
    const found = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    return found && found.classList.contains("trials") ? found : null;
  };
  const follow = () => {
    const section = opened();
    for (const cell of document.querySelectorAll("a.cell")) {
      cell.classList.toggle("open", section !== null && cell.getAttribute("href") === location.hash);
    }
    if (section) {
      section.focus();
    } else if (opener) {
      opener.focus({ preventScroll: true });
      opener = null;
    }
  };
  const close = () => {
    if (opened()) location.hash = "#closed";
  };
  document.addEventListener("click", (event) => {
    const cell = event.target.closest("a.cell");
    if (cell) opener = cell;
    else if (!event.target.closest(".trials")) close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  window.addEventListener("hashchange", follow);
  follow();

  const data = document.getElementById("head-sums");
  if (!data) return;
  const { heads, sums, largest, colors } = JSON.parse(data.textContent);
  const pick = document.querySelector(".pick");
  const boxes = [...pick.querySelectorAll("input")];
  const squares = [...document.querySelectorAll("#figure-heads rect.value")];
  const body = document.querySelector("#figure-heads ~ .wide tbody");
  const ranks = body.rows.length;
  const ascending = (numbers) => [...new Set(numbers)].sort((a, b) => a - b);
  const layers = ascending(heads.map((head) => head[0]));
  const columns = ascending(heads.map((head) => head[1]));

  const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const color = (position) => {
    const scaled = Math.min(Math.max(position, 0), 1) * (colors.length - 1);
    const low = Math.min(Math.floor(scaled), colors.length - 2);
    const [from, to] = [channels(colors[low]), channels(colors[low + 1])];
    return from.map((channel, at) => Math.round(channel + (to[at] - channel) * (scaled - low)));
  };
  // Black or white, whichever has the larger contrast (WCAG 2).
  const textColor = (rgb) => {
    const [r, g, b] = rgb.map((channel) => {
      const c = channel / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
  };
  const over = (cells, head) => {
    const total = cells.reduce(
      (sums, cell) => sums.map((sum, at) => sum + cell[3 * head + at]),
      [0, 0, 0],
    );
    const [n, sum, squares] = total;
    const sd = n > 1 ? Math.sqrt(Math.max(0, (squares - (sum * sum) / n) / (n - 1))) : null;
    return { name: heads[head].join("."), head, n, mean: n > 0 ? sum / n : null, sd };
  };
  const number = (value) => (value === null ? "-" : value.toFixed(3));
  const update = () => {
    const chosen = boxes.filter((box) => box.checked).map((box) => sums[box.dataset.cell]);
    const found = heads.map((_, head) => over(chosen, head));
    for (const { name, head, mean } of found) {
      const [layer, column] = heads[head];
      const square = squares[layers.indexOf(layer) * columns.length + columns.indexOf(column)];
      const rgb = color(largest > 0 ? (mean ?? 0) / largest : 0);
      square.setAttribute("fill", mean === null ? "#9e9e9e" : `rgb(${rgb})`);
      const title = square.querySelector("title");
      if (title) title.textContent = `head ${name}: ${number(mean)}`;
      const text = square.nextElementSibling;
      if (text && text.classList.contains("number")) {
        const digits = (text.textContent.split(".")[1] ?? "00").length;
        text.textContent = mean === null ? "" : mean.toFixed(digits);
        text.setAttribute("fill", textColor(rgb));
      }
    }
    const best = found.sort((a, b) => (b.mean ?? 0) - (a.mean ?? 0)).slice(0, ranks);
    best.forEach(({ name, n, mean, sd }, rank) => {
      const texts = [rank + 1, name, number(mean), number(sd), n];
      [...body.rows[rank].cells].forEach((cell, at) => (cell.textContent = texts[at]));
    });
    const trials = Math.max(0, ...found.map(({ n }) => n));
    const picked = document.getElementById("picked");
    picked.textContent = `${chosen.length} of ${boxes.length} cells, ${trials} trials`;
  };
  const toggle = (some) => {
    const on = some.some((box) => !box.checked);
    for (const box of some) box.checked = on;
  };
  pick.addEventListener("click", (event) => {
    const { dataset, parentElement } = event.target;
    if (event.target.tagName !== "BUTTON") return;
    if (dataset.all) for (const box of boxes) box.checked = dataset.all === "1";
    const column = parentElement.cellIndex;
    if (dataset.column) toggle(boxes.filter((box) => box.parentElement.cellIndex === column));
    if ("row" in dataset) toggle([...parentElement.parentElement.querySelectorAll("input")]);
    update();
  });
  pick.addEventListener("change", update);
  pick.hidden = false;
  update();
})();
