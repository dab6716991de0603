"use strict";
// Draws the graph of the page's data on a canvas: drag to move, wheel or keys to zoom, hover for a node or a cut.
const data = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("graph"), tip = document.getElementById("tip");
const find = document.getElementById("find"), found = document.getElementById("found");
const context = canvas.getContext("2d");
const { nodes, edges, bands } = data;
const view = { x: 0, y: 0, scale: 1 };
let hovered = null, wanted = new Set();
const colours = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#999933", "#882255", "#44aa99", "#ddaa77"];
const colour = (stage) => stage < colours.length ? colours[stage] : `hsl(${(stage * 137.5) % 360} 60% 45%)`;
const screen = (x, y) => [x * view.scale + view.x, y * view.scale + view.y];

// Nodes by cells of the plane, so that the one under the pointer is found among few.
const CELL = 40, cells = new Map();
nodes.forEach((node, v) => {
  const key = `${Math.floor(node.x / CELL)},${Math.floor(node.y / CELL)}`;
  if (!cells.has(key)) cells.set(key, []);
  cells.get(key).push(v);
});

function fit() {
  const box = canvas.getBoundingClientRect();
  view.scale = Math.min(box.width / (data.width + 20), box.height / (data.height + 20), 3);
  view.x = (box.width - data.width * view.scale) / 2;
  view.y = (box.height - data.height * view.scale) / 2;
  draw();
}

function zoom(factor, x, y) {
  const scale = Math.min(40, Math.max(0.005, view.scale * factor));
  view.x = x - (x - view.x) * scale / view.scale;
  view.y = y - (y - view.y) * scale / view.scale;
  view.scale = scale;
  draw();
}

// The pieces of an edge: a curve, or, between rows, one to the end of the first row and one from the beginning of the other.
function curves(edge) {
  const from = nodes[edge.from], to = nodes[edge.to];
  const [x1, y1] = screen(from.x, from.y), [x2, y2] = screen(to.x, to.y);
  if (from.row !== to.row) {
    const [end] = screen(data.width, 0), [begin] = screen(0, 0);
    return [[x1, y1, (x1 + end) / 2, y1, end, y1], [begin, y2, (begin + x2) / 2, y2, x2, y2]];
  }
  // Long edges bend round the nodes between their ends.
  const bend = edge.long ? Math.min(60 * view.scale, (x2 - x1) * 0.12) * (edge.from % 2 ? 1 : -1) : 0;
  return [[x1, y1, (x1 + x2) / 2, (y1 + y2) / 2 + 2 * bend, x2, y2]];
}

function stroke(chosen, style, width) {
  context.strokeStyle = style;
  context.lineWidth = width;
  context.beginPath();
  for (const edge of chosen) {
    for (const [x1, y1, cx, cy, x2, y2] of curves(edge)) {
      context.moveTo(x1, y1);
      context.quadraticCurveTo(cx, cy, x2, y2);
    }
  }
  context.stroke();
}

function drawBand(band) {
  for (const part of band.parts) {
    const [left, top] = screen(part.left, part.top), [right, bottom] = screen(part.right, part.bottom);
    context.globalAlpha = 0.09;
    context.fillStyle = colour(band.stage);
    context.fillRect(left, top, right - left, bottom - top);
    context.globalAlpha = 1;
  }
  const [left, top] = screen(band.parts[0].left, band.parts[0].top);
  const last = band.parts[band.parts.length - 1], [right, bottom] = screen(last.right, last.bottom);
  context.textAlign = "left";
  context.font = "bold 12px system-ui, sans-serif";
  context.fillStyle = colour(band.stage);
  const wide = band.parts.some((part) => (part.right - part.left) * view.scale > 130);
  context.fillText(wide ? `stage ${band.stage}: ${band.total}` : `${band.stage}`, left + 3, top + 9);
  if (band.cut) {
    context.textAlign = "right";
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = "#a00";
    context.fillText(wide ? `cut: ${band.cut}` : band.cut, right, bottom - 8);
  }
}

function draw() {
  const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  context.textBaseline = "middle";
  bands.forEach(drawBand);
  stroke(edges.filter((edge) => !edge.cut), "#0002", 1);
  stroke(edges.filter((edge) => edge.cut), "#c008", 1.5);
  if (hovered !== null) stroke(edges.filter((edge) => edge.from === hovered || edge.to === hovered), "#000", 1.5);
  const named = 9 * view.scale > 10;
  context.textAlign = "left";
  context.font = "11px system-ui, sans-serif";
  nodes.forEach((node, v) => {
    const [x, y] = screen(node.x, node.y);
    if (x < -200 || y < -20 || x > box.width + 20 || y > box.height + 20) return;
    context.beginPath();
    context.arc(x, y, Math.max(1.5, node.r * view.scale), 0, 7);
    context.fillStyle = colour(node.stage);
    context.fill();
    if (v === hovered || wanted.has(v)) {
      context.strokeStyle = "#000";
      context.lineWidth = 2;
      context.stroke();
    }
    if (named) {
      context.fillStyle = "#222";
      context.fillText(short(node.name), x - node.r * view.scale, y + node.r * view.scale + 8);
    }
  });
  if (5 * view.scale > 6) {
    context.fillStyle = "#a00";
    for (const edge of edges) {
      if (!edge.cut) continue;
      const [x1, y1, cx, cy, x2, y2] = curves(edge)[0];
      context.fillText(data.tensors[edge.tensor].size, (x1 + 2 * cx + x2) / 4, (y1 + 2 * cy + y2) / 4 - 6);
    }
  }
}

const short = (name) => name.length <= 28 ? name : `${name.slice(0, 10)}…${name.slice(-17)}`;

function nodeAt(x, y) {
  const px = (x - view.x) / view.scale, py = (y - view.y) / view.scale, reach = Math.max(8 / view.scale, 9);
  let best = null, nearest = reach;
  const steps = Math.min(3, Math.ceil(reach / CELL));
  for (let i = -steps; i <= steps; i++) {
    for (let j = -steps; j <= steps; j++) {
      for (const v of cells.get(`${Math.floor(px / CELL) + i},${Math.floor(py / CELL) + j}`) || []) {
        const away = Math.hypot(nodes[v].x - px, nodes[v].y - py);
        if (away < nearest) [best, nearest] = [v, away];
      }
    }
  }
  return best;
}

function cutAt(x, y) {
  for (const edge of edges) {
    if (!edge.cut) continue;
    for (const [x1, y1, cx, cy, x2, y2] of curves(edge)) {
      if (x < Math.min(x1, x2) - 4 || x > Math.max(x1, x2) + 4) continue;
      for (let t = 0; t <= 1; t += 0.02) {
        const bx = (1 - t) * (1 - t) * x1 + 2 * t * (1 - t) * cx + t * t * x2;
        const by = (1 - t) * (1 - t) * y1 + 2 * t * (1 - t) * cy + t * t * y2;
        if (Math.hypot(bx - x, by - y) < 5) return edge;
      }
    }
  }
  return null;
}

function hover(x, y) {
  const v = nodeAt(x, y), edge = v === null ? cutAt(x, y) : null;
  if (v !== null) {
    const node = nodes[v];
    tip.textContent = `${node.name}\n${node.op}, stage ${node.stage}\nwork ${node.work}${node.parameters ? `\nparameters ${node.parameters}` : ""}`;
  } else if (edge) {
    tip.textContent = `${data.tensors[edge.tensor].size}, stage ${nodes[edge.from].stage} to ${nodes[edge.to].stage}\n${nodes[edge.from].name} to ${nodes[edge.to].name}`;
  } else {
    tip.textContent = "";
  }
  const box = canvas.getBoundingClientRect();
  tip.style.left = `${Math.min(x + 14, box.width - tip.offsetWidth - 4)}px`;
  tip.style.top = `${Math.min(y + 14, box.height - tip.offsetHeight - 4)}px`;
  if (v !== hovered) {
    hovered = v;
    draw();
  }
}

const at = (event) => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
let dragged = null;
canvas.addEventListener("pointerdown", (event) => {
  dragged = at(event);
  if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointerup", () => { dragged = null; });
canvas.addEventListener("pointermove", (event) => {
  const [x, y] = at(event);
  if (dragged === null) return hover(x, y);
  view.x += x - dragged[0];
  view.y += y - dragged[1];
  dragged = [x, y];
  draw();
});
canvas.addEventListener("pointerleave", () => { tip.textContent = ""; });
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * 0.0015), ...at(event));
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  const middle = [canvas.clientWidth / 2, canvas.clientHeight / 2];
  if (event.key in moves) {
    view.x += moves[event.key][0];
    view.y += moves[event.key][1];
    draw();
  } else if (event.key === "+" || event.key === "=") zoom(1.25, ...middle);
  else if (event.key === "-") zoom(0.8, ...middle);
  else if (event.key === "0") fit();
  else return;
  event.preventDefault();
});
document.getElementById("fit").addEventListener("click", fit);
find.addEventListener("input", () => {
  const text = find.value.toLowerCase();
  wanted = new Set(text ? nodes.flatMap((node, v) => node.name.toLowerCase().includes(text) ? [v] : []) : []);
  found.textContent = text ? `${wanted.size} found` : "";
  draw();
});
document.querySelectorAll("[data-stage]").forEach((mark) => { mark.style.background = colour(Number(mark.dataset.stage)); });
canvas.view = { state: view, screen: (v) => screen(nodes[v].x, nodes[v].y), hovered: () => hovered };
window.addEventListener("resize", draw);
fit();
