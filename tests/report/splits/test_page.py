"""The page of a graph and its stages, in a real browser: drag, zoom, hover, hostile names, many nodes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.errors import UserError
from framework.formats.native import parse
from framework.model.device import Device
from framework.model.device_chain import DeviceChain
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.problem import cut_tensors
from framework.portfolio.result import Result
from framework.report.splits.page import page
from tests.layouts.graphs import layered, of_edges, result_of
from tests.report.test_study_page import BROWSERS

NASTY = 'a</script><script>document.body.dataset.broken="1"</script><b>&"\'\u2028\x1b'

PROBE = """
<script>
addEventListener("load", () => {
  const canvas = document.getElementById("graph"), tip = document.getElementById("tip");
  const box = canvas.getBoundingClientRect(), view = canvas.view;
  const event = (type, x, y, more) => canvas.dispatchEvent(
    new (type === "wheel" ? WheelEvent : PointerEvent)(type, {
      clientX: box.left + x, clientY: box.top + y, bubbles: true, cancelable: true, ...more,
    }));
  const hovering = (v) => { const [x, y] = view.screen(v); event("pointermove", x, y); return tip.textContent; };
  const result = { before: { ...view.state } };
  result.tips = [0, PROBED].map(hovering);
  event("pointerdown", 50, 60);
  event("pointermove", 80, 110);
  event("pointerup", 80, 110);
  result.dragged = { ...view.state };
  const [x, y] = view.screen(0);
  event("wheel", x, y, { deltaY: -600 });
  result.zoomed = { ...view.state, moved: Math.hypot(view.screen(0)[0] - x, view.screen(0)[1] - y) };
  const edge = edges.find((edge) => edge.cut);
  if (edge) {
    const [x1, y1, cx, cy, x2, y2] = curves(edge)[0];
    event("pointermove", (x1 + 2 * cx + x2) / 4, (y1 + 2 * cy + y2) / 4);
    result.cut = tip.textContent;
  }
  find.value = "norm";
  find.dispatchEvent(new Event("input"));
  result.found = found.textContent;
  document.getElementById("fit").click();
  result.fitted = { ...view.state };
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  result.drawn = pixels.filter((value, i) => i % 4 === 3 && value > 0).length;
  const started = performance.now();
  for (let i = 0; i < 10; i++) draw();
  result.frame = (performance.now() - started) / 10;
  result.loaded = performance.getEntriesByType("resource").length;
  result.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  result.tags = [...document.querySelectorAll("b, script")].length;
  result.broken = document.body.dataset.broken || "";
  result.heading = document.querySelector("h1").textContent;
  result.rows = [...document.querySelectorAll("#stages tbody tr, #cuts tbody tr")].map((row) => row.textContent);
  document.body.dataset.probe = JSON.stringify(result);
});
</script>
"""


def look(text: str, folder: Path, node: int = 1) -> dict[str, Any]:
    """Open a page in a headless browser, and use it."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    probed = folder / "probed.html"
    probed.write_text(text.replace("</body>", PROBE.replace("PROBED", str(node)) + "</body>"))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,900"]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom", probed.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found is not None, done.stderr[-2000:]
    seen: dict[str, Any] = json.loads(unescape(found[1]))
    return seen


def test_the_page_is_used_in_a_real_browser(tmp_path: Path) -> None:
    graph = layered(4)
    cut = [0] * 7 + [1] * 6 + [2] * 14
    seen = look(page(result_of(graph, cut, 3), graph), tmp_path, node=9)
    assert seen["tips"][0].splitlines()[:2] == ["model.embed_tokens.embedding", "embedding, stage 0"]
    assert seen["tips"][1].splitlines()[:2] == ["model.layers.1.attn.softmax", "softmax, stage 1"]
    assert "work 0.001 s" in seen["tips"][0]
    assert "parameters 2 B" in seen["tips"][0]
    assert seen["dragged"]["x"] - seen["before"]["x"] == pytest.approx(30)
    assert seen["dragged"]["y"] - seen["before"]["y"] == pytest.approx(50)
    assert seen["zoomed"]["scale"] > 2 * seen["dragged"]["scale"]
    assert seen["zoomed"]["moved"] < 3, "what is under the pointer stays there, but for whole pixels"
    assert seen["cut"].startswith("1 kB, stage 0 to 1")
    assert seen["found"] == "5 found"
    assert seen["fitted"] == seen["before"]
    assert seen["drawn"] > 10_000
    assert seen["loaded"] == 0
    assert seen["overflow"] <= 0


def test_the_tables_have_the_bytes_of_every_cut(tmp_path: Path) -> None:
    graph = of_edges(["a", "b", "c", "d"], [(0, 1), (0, 3), (1, 2), (2, 3)])
    text = page(result_of(graph, [0, 0, 1, 2], 3), graph)
    seen = look(text, tmp_path)
    assert [row for row in seen["rows"] if "kB" in row] == ["a021 kB", "b011 kB", "c121 kB"]
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])  # type: ignore[index]
    cuts = cut_tensors(graph.topology, np.array([0, 0, 1, 2]), 3)
    assert sum(edge["cut"] for edge in data["edges"]) == len(cuts.tensor) == 3
    assert [band.get("cut") for band in data["bands"]] == ["2 tensors, 2 kB", "2 tensors, 2 kB", None]


def test_no_name_breaks_out(tmp_path: Path) -> None:
    graph = of_edges([NASTY, f"{NASTY}2", "norm"], [(0, 1), (1, 2)], name=NASTY)
    text = page(result_of(graph, [0, 0, 1], 2), graph)
    assert "Content-Security-Policy" in text
    assert not re.search(r"https?://", text)
    seen = look(text, tmp_path)
    assert seen["tags"] == 3, "the data, the script, and the probe"
    assert seen["broken"] == ""
    assert seen["tips"][0].startswith(NASTY.replace("\u2028", "\\u2028").replace("\x1b", "\\x1b"))
    assert seen["heading"].startswith("a</script>")


def priced_grid(nodes: int) -> tuple[ModelGraph, Result]:
    """A priced graph of so many nodes in eight stages: layers of 20, with edges to the next one."""
    users = {v: sorted({20 * (v // 20 + 1) + (v + i) % 20 for i in (0, 3)}) for v in range(nodes - 20)}
    document = {
        "format": "pipebound-graph",
        "version": 1,
        "name": "grid",
        "cost_unit": "ms",
        "nodes": [
            {"name": f"layer {v // 20} norm {v}", "op": "x", "work": 1, "parameter_cost": 0} for v in range(nodes)
        ],
        "tensors": [{"producer": v, "cost": 3, "consumers": consumers} for v, consumers in users.items()],
    }
    graph = parse(json.dumps(document).encode(), "grid.json")
    result = result_of(graph, [8 * (20 * (v // 20)) // nodes for v in range(nodes)], 8)
    return graph, replace(result, device=None, unit="ms")


def test_a_page_of_many_nodes_stays_usable(tmp_path: Path) -> None:
    graph, result = priced_grid(5_000)
    text = page(result, graph)
    assert len(text) < 4_000_000
    seen = look(text, tmp_path, node=4_321)
    assert seen["tips"][1].splitlines()[0] == "layer 216 norm 4321"
    assert seen["found"] == "5000 found"
    assert seen["cut"].startswith("3 ms, stage 0 to 1")
    assert seen["drawn"] > 100_000


def test_on_different_devices_each_node_is_priced_in_its_stage() -> None:
    graph = of_edges(["a", "b"], [(0, 1)])
    assert isinstance(graph.costs, PhysicalCosts)
    graph = replace(graph, costs=replace(graph.costs, device_seconds={"fast": np.array([0.25, 0.25])}))
    slow, fast = (Device(name=name, link_bandwidth=1e9) for name in ("slow", "fast"))
    result = replace(result_of(graph, [0, 1], 2), device=DeviceChain(devices=(slow, fast)))
    data = json.loads(re.search(r'id="data">(.*?)</script>', page(result, graph))[1])  # type: ignore[index]
    assert [node["work"] for node in data["nodes"]] == ["0.001 s", "0.25 s"]


def test_without_a_partition_there_is_no_page() -> None:
    graph = of_edges(["a", "b"], [(0, 1)])
    with pytest.raises(UserError, match="holds no partition"):
        page(replace(result_of(graph, [0, 1], 2), stage_of=None), graph)
