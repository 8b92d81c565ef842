"""What the benchmark says: the table, the JSON, the pages and the plot."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from online_tsm import benchmark_page
from online_tsm.benchmark_page import KINDS
from online_tsm.benchmark_report import BenchmarkError, changes, read_report, table


def test_the_table_names_every_row_and_the_json_gives_it_back(report, tmp_path):
    text = table(report)
    for row in report["networks"][0]["rows"]:
        assert row["name"] in text
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert table(read_report(path)) == text
    new = json.loads(path.read_text())
    new["networks"][0]["rows"][0]["hot"]["median_ms"] *= 1.5
    assert "+50 %" in changes(report, new)


@pytest.fixture
def whole(report) -> dict:
    """A report with everything in it."""
    row = {"input_size": [32, 32], "precision": "fp32", "engine": "torch", "device": "cpu"}
    hot = report["networks"][0]["rows"][0]["hot"]
    judged = {**row, "engine": "onnxruntime", "agreement": None,
              "top1": {"value": 0.612, "low": 0.5, "high": 0.7}}
    points = [{"streams": n, "median_ms": 2.0 * n, "p99_ms": 3.0 * n} for n in (1, 2, 4)]
    return {
        **report, "warnings": ["all was quiet"],
        "sizes": [{**row, "name": "32 x 32, torch", "macs": 5e6, "hot": hot, "paced": hot},
                  {**row, "name": "64 x 96, torch", "input_size": [64, 96], "macs": 3e7,
                   "hot": hot, "paced": None}],
        "accuracy": {"set": "people", "clips": 9, "rows": [
            judged, {**judged, "precision": "bf16", "engine": "openvino", "agreement": 0.99,
                     "top1": {"value": 1.0, "low": None, "high": None}}]},
        "capacity": [{"engine": "torch", "device": "cuda", "precision": "fp16", "threads": 1,
                      "whole": {"largest": 80, "bend": 4, "points": points},
                      "network": {"largest": 900, "bend": 64, "points": points}}],
        "cold_starts": [{"engine": "torch", "device": "cpu", "precision": "fp32",
                         "median_s": 2.5, "min_s": 2.25, "peak_memory": None}]}


def test_the_table_tells_sizes_with_their_accuracy_and_cameras(whole):
    lines = table(whole).splitlines()
    assert next(line for line in lines if line.startswith("32 x 32, torch")).endswith("61.2%")
    assert next(line for line in lines if line.startswith("64 x 96, torch")).endswith(" -")
    assert "61.2% [50.0%, 70.0%]" in table(whole)
    assert "decides as float32 on 99.00% of frames" in table(whole)
    assert any("80 (the curve bends at 4); the network alone 900, bends at 64" in line
               for line in lines)


def test_pages_get_the_figures_of_their_report(whole, tmp_path, capsys):
    path, page = tmp_path / "cpu.json", tmp_path / "page.md"
    path.write_text(json.dumps(whole))
    kinds = "".join(f"<!-- figures: cpu.json {kind} -->\nold\n<!-- end -->\n" for kind in KINDS)
    page.write_text(f"before\n{kinds}<!-- figures: gpu.json ratios -->\nkept\n<!-- end -->\nafter")
    assert benchmark_page.main([str(path), str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("gpu.json ratios -->\nkept\n<!-- end -->\nafter")
    assert "old" not in text
    first = whole["networks"][0]["rows"][0]["hot"]["median_ms"]
    for words in ("| 32 x 32 | (a) eager, official preprocessing |", f"| {first:.2f} |",
                  "| 61.2% (50.0% to 70.0%) |", "| torch fp16 on CUDA | 80 | 4 | 900 | 64 |",
                  "| torch fp32 | 2.50 | 2.25 | - |", "all was quiet", "99.00% of frames"):
        assert words in text
    benchmark_page.main([str(path), str(page)])
    assert page.read_text() == text  # and again


@pytest.mark.parametrize(("text", "named"), [
    ("nothing", "no lines <!-- figures: cpu.json ratios -->"),
    ("<!-- figures: cpu.json speed -->\n<!-- end -->", "unknown figures 'speed'; known: ratios"),
])
def test_a_page_without_a_place_for_figures_is_named(whole, tmp_path, capsys, text, named):
    (tmp_path / "cpu.json").write_text(json.dumps(whole))
    (tmp_path / "page.md").write_text(text)
    assert benchmark_page.main([str(tmp_path / "cpu.json"), str(tmp_path / "page.md")]) == 2
    assert named in capsys.readouterr().err
    assert (tmp_path / "page.md").read_text() == text


def test_the_plot_is_drawn(report, whole, tmp_path):
    from online_tsm.benchmark_plot import draw
    draw(report, tmp_path / "report.png")
    draw(whole, tmp_path / "whole.png")
    few, all_ = (Image.open(tmp_path / f"{name}.png").size for name in ("report", "whole"))
    assert few[0] == all_[0] > 800
    assert all_[1] > few[1] + 400  # two panels more


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"networks": [{"name": "a"}]}'])
def test_what_is_no_report_is_refused(text, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match="no report of this benchmark"):
        read_report(path)
