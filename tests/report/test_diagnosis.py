"""The forms of a diagnosis."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from math import inf
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from rich.console import Console

from edgeseg.graph.effects import Diagnosis, NodeEffect, WholeEffect
from edgeseg.report import diagnosis_plot as plot
from edgeseg.report import diagnosis_text as text
from edgeseg.report.diagnosis import ENDINGS, write_diagnosis
from edgeseg.report.diagnosis_record import DiagnosisReport, diagnosis_report
from edgeseg.report.diagnosis_terminal import print_diagnosis
from edgeseg.report.record import Environment

NASTY = "<b>|$x$ _[red]&amp;\"'"
ENVIRONMENT = Environment(
    machine="x", cpu="cpu", cores=2, usable_cores=2, memory_bytes=None, system="s", kernel="k", python="p",
    packages={"edgeseg": "0"}, governor=None, clock_mhz=None, load_1min=None,
)  # fmt: skip


def node(order: int, disagreement: float, name: str = "", **more: object) -> NodeEffect:
    first = NodeEffect(
        name=name or f"node_{order}",
        words="",
        op_type="Conv",
        module="decoder (Up)",
        order=order,
        is_layer=True,
        macs=2_000_000,
        output_snr_db=30.0 + order,
        logits_snr_db=40.0 - order,
        disagreement=disagreement,
        share=None,
    )
    return replace(first, **more)  # type: ignore[arg-type]


def found_of(*nodes: NodeEffect, whole: float = 0.05) -> Diagnosis:
    ranked = tuple(sorted(nodes, key=lambda one: -one.disagreement))
    logits = None if nodes[0].logits_snr_db is None else 25.0
    return Diagnosis(nodes=ranked, whole=WholeEffect(logits_snr_db=logits, disagreement=whole), frames=2, pixels=1000)


def report_of(found: Diagnosis, **more: object) -> DiagnosisReport:
    report = diagnosis_report(
        found,
        net=Path("some nets/net.onnx"),
        onnx_sha256="0" * 64,
        precision="int8",
        data=Path("frames"),
        calibration_data=Path("frames"),
        environment=ENVIRONMENT,
    )
    return replace(report, **more)  # type: ignore[arg-type]


@pytest.fixture
def report() -> DiagnosisReport:
    follower = node(3, 0.002, "pool", op_type="MaxPool", is_layer=False, macs=0)
    endless = node(2, 0.0, output_snr_db=inf, logits_snr_db=inf)
    return report_of(found_of(node(0, 0.001), node(1, 0.04, NASTY), endless, follower))


def page_of(report: DiagnosisReport, folder: Path) -> str:
    write_diagnosis(report, folder / "out.html")
    return (folder / "out.html").read_text()


class Cells(HTMLParser):
    """Text of the cells, and whatever would load or run something."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("th", "td"):
            self.cells.append("")
        if tag in ("script", "link", "img", "iframe") or any(name in ("src", "onload") for name, _ in attrs):
            self.loaded.append(tag)

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_the_page_holds_every_node_worst_first_and_loads_nothing(report: DiagnosisReport, tmp_path: Path) -> None:
    page = page_of(report, tmp_path)
    seen = Cells()
    seen.feed(page)
    assert [cell for cell in seen.cells if cell in (NASTY, "pool", "node_0", "node_2")] == [
        NASTY, "pool", "node_0", "node_2",
    ]  # fmt: skip
    assert seen.loaded == []
    assert re.findall(r"(?:href|url)\W+https?:", page) == []
    assert "var(--ink)" in page


def test_the_picture_is_xml_with_the_name_of_every_node(report: DiagnosisReport) -> None:
    tree = ElementTree.fromstring(plot.svg(report.found))
    words = {"".join(element.itertext()) for element in tree.iter() if element.tag.endswith("text")}
    assert {"node_0", NASTY, "node_2", "pool", "logits", "own output", "follows a layer"} <= words


def test_of_many_nodes_the_worst_are_named() -> None:
    found = found_of(*(node(order, (order * 37 % 101) / 1e4) for order in range(300)))
    tree = ElementTree.fromstring(plot.svg(found))
    named = {"".join(one.itertext()) for one in tree.iter() if one.tag.endswith("text")}
    named = {name for name in named if name.startswith("node_")}
    assert found.nodes[0].name in named
    assert 8 <= len(named) <= plot.WORST_NAMED
    assert plot.width_px(found) > 1000
    assert plot.width_px(found_of(node(0, 0.1))) == 0


def test_a_net_of_finished_ids_has_no_ratios_at_the_logits(tmp_path: Path) -> None:
    found = found_of(node(0, 0.1, logits_snr_db=None), node(1, 0.2, logits_snr_db=None))
    assert "logits</text>" not in re.sub(r"\s", "", plot.svg(found)).replace("atthelogits(lowisbad)", "")
    assert text.NOTHING in page_of(report_of(found), tmp_path)


@pytest.mark.parametrize("endless", [False, True])
def test_the_png_is_dark_on_white(report: DiagnosisReport, endless: bool) -> None:
    found = found_of(node(0, 0.0, output_snr_db=inf, logits_snr_db=inf)) if endless else report.found
    pixels = cv2.imdecode(np.frombuffer(plot.png(found), np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels.shape[1] == plot.WIDTH_IN * plot.DPI
    assert (pixels[0, 0, :3] == 255).all()
    assert (pixels[..., :3].max(-1) < 100).any()


def test_json_has_null_where_a_ratio_is_infinite(report: DiagnosisReport, tmp_path: Path) -> None:
    write_diagnosis(report, tmp_path / "out.json")
    told = json.loads((tmp_path / "out.json").read_text())
    assert (told["schema"], told["precision"], told["found"]["frames"]) == (1, "int8", 2)
    ratios = {one["name"]: one["output_snr_db"] for one in told["found"]["nodes"]}
    assert ratios["node_2"] is None
    assert ratios["node_0"] == 30.0


def test_another_ending_is_refused(report: DiagnosisReport, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none of"):
        write_diagnosis(report, tmp_path / "out.md")
    assert ENDINGS == (".json", ".html", ".png")


def test_names_are_printed_as_they_are_and_no_more_nodes_than_asked_for(report: DiagnosisReport) -> None:
    console = Console(file=io.StringIO(), width=150)
    print_diagnosis(report, console, top=2)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert NASTY in printed
    assert "pool" in printed
    assert "node_0" not in printed
    assert "2 nodes more; --top 4" in printed


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ((0.46, 0.04), "node_0 makes up 92 %"),
        ((0.4, 0.36, 0.24, 0.001), "node_0, node_1, node_2 make up 100 %"),
        ((0.25,) * 20, "node_0, node_1, node_2 and 15 more make up 90 %"),
    ],
)
def test_the_fewest_nodes_that_make_up_nine_tenths_are_blamed(changes: tuple[float, ...], named: str) -> None:
    found = found_of(*(node(order, change) for order, change in enumerate(changes)))
    assert text.blame(found).startswith(named)


def test_what_changes_nothing_is_not_blamed() -> None:
    found = found_of(node(0, 0.0), whole=0.0)
    assert "No node alone" in text.blame(found)
    assert "nothing to mend" in text.advice(report_of(found))


def test_the_advice_is_a_command_that_can_be_typed(report: DiagnosisReport) -> None:
    assert (
        "edgeseg build-engine 'some nets/net.onnx' --precision int8 --calib-data frames --max-miou-drop 0.5"
        in text.advice(report)
    )
    assert "--calib-data" not in text.advice(replace(report, calibration_data=None))
