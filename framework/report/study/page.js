"use strict";
// The runs of a study: the controls choose among them, headings sort them, and a picture shows what is chosen.
const data = JSON.parse(document.getElementById("runs-data").textContent);
const $ = (id) => document.getElementById(id);
const SHOWN = 200, SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#ccbb44", "#997700", "#555555"];
const SHAPES = [
  "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0", "M-4.5-4.5h9v9h-9z", "M0-5.5L5.5 4.5h-11z", "M0-6L6 0L0 6L-6 0z",
  "M0 5.5L5.5-4.5h-11z", "M-6-2h4v-4h4v4h4v4h-4v4h-4v-4h-4z", "M-5-5L5 5M-5 5L5-5",
];
const present = data.entries.map((_, i) => i).filter((i) => data.runs.some((run) => run[2] === i));
const order = { column: "ratio", down: false };
let all = false;

const runs = data.runs.map(([graph, k, entry, device, dual, found, best, scale, seconds, status, by, rests]) => {
  const [name, task, family, nodes] = data.graphs[graph];
  const [perUnit, unit] = data.scales[scale];
  const ratio = dual < 0 || best < 0 ? null : best === 0 ? 1 : dual / best;
  const own = dual < 0 || found < 0 ? null : found === 0 ? 1 : dual / found;
  return {
    name, task, family, nodes, k, entry, ratio, seconds, unit, by, rests,
    device: data.devices[device],
    label: data.entries[entry],
    status: data.statuses[status],
    proven: own !== null && own >= 1 - data.proven,
    dual: dual < 0 ? null : dual / perUnit,
    found: found < 0 ? null : found / perUnit,
  };
});

function quantity(value, unit) {
  if (value === null) return "-";
  let factor = 1, name = unit;
  if (unit === "s" && value > 0 && value < 1) {
    [name, factor] = [["ms", 1e3], ["us", 1e6], ["ns", 1e9]].find(([, many]) => value * many >= 1) || ["ns", 1e9];
  }
  return `${Number((value * factor).toPrecision(6))} ${name}`;
}

// As everywhere in this project: 1.0000 only where it is exactly one.
function ratioText(value) {
  if (value === null) return "-";
  const text = value.toFixed(4);
  return text === "1.0000" && value < 1 ? ">.9999" : text;
}

const COLUMNS = [
  ["name", "graph", (run) => run.name], ["nodes", "nodes", (run) => String(run.nodes)],
  ["k", "k", (run) => String(run.k)], ["label", "entry", (run) => run.label],
  ["dual", "bound", (run) => quantity(run.dual, run.unit)], ["found", "partition", (run) => quantity(run.found, run.unit)],
  ["ratio", "bound / best", (run) => ratioText(run.ratio)], ["status", "status", (run) => run.status],
  ["seconds", "s", (run) => String(Number(run.seconds.toPrecision(3)))], ["by", "bound by", (run) => run.by],
  ["rests", "soundness", (run) => run.rests],
];
const TEXTS = ["name", "label", "status", "by", "rests"];

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function drawn(tag, attributes, parent, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

function chosenRuns() {
  const text = $("filter-text").value.trim().toLowerCase(), state = $("filter-state").value;
  const [entry, k, task, device] = ["entry", "k", "task", "device"].map((name) => $(`filter-${name}`).value);
  return runs.filter((run) =>
    (!text || run.name.toLowerCase().includes(text) || run.family.toLowerCase().includes(text)) &&
    (!entry || run.label === entry) && (!k || String(run.k) === k) && (!task || run.task === task) &&
    (!device || run.device === device) && (!state || (state === "proven") === run.proven));
}

function compare(first, second) {
  const a = first[order.column], b = second[order.column];
  // What is unknown comes last, whichever way.
  if (a === null || b === null) return (a === null) - (b === null);
  return (a < b ? -1 : a > b ? 1 : 0) * (order.down ? -1 : 1);
}

const mean = (values) => values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
const geometric = (ratios) => ratios.length ? Math.exp(mean(ratios.map((ratio) => Math.log(Math.max(ratio, 1e-12))))) : null;
const known = (chosen) => chosen.map((run) => run.ratio).filter((ratio) => ratio !== null);

function showTable(chosen) {
  const body = $("runs-rows");
  body.replaceChildren(...chosen.slice(0, all ? chosen.length : SHOWN).map((run) => {
    const row = element("tr");
    row.append(...COLUMNS.map(([key, , text]) => element("td", text(run), TEXTS.includes(key) ? "name" : "")));
    return row;
  }));
  const hidden = chosen.length - body.children.length;
  $("runs-count").textContent = `${chosen.length} of ${runs.length} runs`;
  $("runs-more").hidden = hidden === 0;
  $("runs-more").textContent = `Show ${hidden} more`;
  for (const head of $("runs-heads").children) {
    const here = head.dataset.column === order.column;
    head.setAttribute("aria-sort", here ? (order.down ? "descending" : "ascending") : "none");
  }
}

function showEntries(chosen) {
  $("entry-rows").replaceChildren(...present.map((i) => {
    const own = chosen.filter((run) => run.entry === i), row = element("tr");
    const name = element("td", data.entries[i], "name"), sign = drawn("svg", { class: "sign", viewBox: "-8 -8 16 16" }, name);
    drawn("path", { d: SHAPES[i % SHAPES.length], fill: COLOURS[i % COLOURS.length], stroke: COLOURS[i % COLOURS.length] }, sign);
    const share = own.length ? `${(100 * own.filter((run) => run.proven).length / own.length).toFixed(1)}%` : "-";
    const seconds = own.length ? Math.exp(mean(own.map((run) => Math.log(run.seconds + 1)))) - 1 : null;
    const cells = [String(own.length), ratioText(geometric(known(own))), share, seconds === null ? "-" : seconds.toFixed(2)];
    row.append(name, ...cells.map((text) => element("td", text)));
    return row;
  }));
}

// A point for each entry and number of stages; entries stand side by side, so that those that coincide are all seen.
function showPicture(chosen) {
  const picture = $("picture"), width = 760, height = 330, left = 70, bottom = 285, top = 15;
  picture.replaceChildren();
  const stages = [...new Set(chosen.map((run) => run.k))].sort((a, b) => a - b);
  const points = [];
  present.forEach((i) => stages.forEach((k, place) => {
    const ratios = known(chosen.filter((run) => run.entry === i && run.k === k));
    if (ratios.length) points.push({ label: data.entries[i], i, k, place, count: ratios.length, value: geometric(ratios) });
  }));
  if (!points.length) return;
  // Ticks at round numbers: a step of 1, 2 or 5 times a power of ten, at most five steps down from one.
  const span = Math.max(1e-4, 1 - Math.min(...points.map((point) => point.value))), power = 10 ** Math.floor(Math.log10(span / 5));
  const tick = [1, 2, 5, 10].map((digit) => digit * power).find((width) => 5 * width >= span * 0.999999);
  const ticks = Math.ceil(span / tick - 1e-9), low = 1 - ticks * tick, digits = Math.max(0, Math.ceil(-Math.log10(tick) - 1e-9));
  const step = (width - left - 20) / stages.length, seen = [...new Set(points.map((point) => point.i))];
  const y = (value) => bottom - (value - low) / (1 - low) * (bottom - top);
  const x = (point) => left + step * (point.place + 0.5) + (seen.indexOf(point.i) - (seen.length - 1) / 2) *
    Math.min(16, 0.8 * step / seen.length);
  for (let i = 0; i <= ticks; i++) {
    const value = 1 - i * tick;
    drawn("line", { x1: left, x2: width - 20, y1: y(value), y2: y(value), class: "grid" }, picture);
    drawn("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, picture, value.toFixed(digits));
  }
  stages.forEach((k, place) => drawn("text", { x: left + step * (place + 0.5), y: bottom + 20, "text-anchor": "middle" }, picture, `k = ${k}`));
  drawn("text", { x: left, y: height - 6 }, picture, "dual bound / best partition of any run, geometric mean of the chosen runs");
  for (const i of seen) {
    const own = points.filter((point) => point.i === i), colour = COLOURS[i % COLOURS.length];
    drawn("polyline", { points: own.map((point) => `${x(point)},${y(point.value)}`).join(" "), stroke: colour, class: "line" }, picture);
    for (const point of own) {
      const mark = drawn("path", { d: SHAPES[i % SHAPES.length], transform: `translate(${x(point)} ${y(point.value)})`, fill: colour, stroke: colour, class: "mark" }, picture);
      drawn("title", {}, mark, `${point.label}, k = ${point.k}: ${ratioText(point.value)} over ${point.count} runs`);
    }
  }
}

function show() {
  const chosen = chosenRuns().sort(compare);
  showTable(chosen);
  showEntries(chosen);
  showPicture(chosen);
}

function offer(name, values) {
  const select = $(`filter-${name}`);
  select.append(...values.map((value) => {
    const option = element("option", String(value));
    option.value = String(value);
    return option;
  }));
  select.parentElement.hidden = values.length < 2;
}

$("runs-heads").append(...COLUMNS.map(([key, heading]) => {
  const head = element("th", "", TEXTS.includes(key) ? "name" : ""), button = element("button", heading);
  head.dataset.column = key;
  button.addEventListener("click", () => {
    order.down = order.column === key && !order.down;
    order.column = key;
    show();
  });
  head.append(button);
  return head;
}));
offer("entry", present.map((i) => data.entries[i]));
offer("k", [...new Set(runs.map((run) => run.k))].sort((a, b) => a - b));
offer("task", [...new Set(runs.map((run) => run.task))].filter(Boolean).sort());
offer("device", data.devices);
for (const control of $("filters").querySelectorAll("input, select")) {
  control.addEventListener("input", () => { all = false; show(); });
}
$("runs-more").addEventListener("click", () => { all = true; show(); });
show();
