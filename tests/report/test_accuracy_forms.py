from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from page_check import checked
from rich.console import Console

from edgeseg.accuracy import EngineAccuracy, EngineLatency, Evaluation, FramePicture, FrameScore, TimedEngine
from edgeseg.accuracy.verdict import precision_verdicts
from edgeseg.boundaries import BoundaryCounts, LabelBands
from edgeseg.metrics import ConfusionMatrix
from edgeseg.report import accuracy_plots as plots
from edgeseg.report import accuracy_text as text
from edgeseg.report.accuracy_html import accuracy_html
from edgeseg.report.accuracy_pictures import mask_bgr
from edgeseg.report.accuracy_record import AccuracyReport, DataRecord, SkippedFile, write_accuracy_json
from edgeseg.report.accuracy_terminal import print_accuracy
from edgeseg.report.drawing import PAGE_COLOURS
from edgeseg.report.environment import read_environment
from edgeseg.spec import ClassSpec, LabelSpec

NASTY = "<b>|`$x$ _[red]&amp;\"'"
IGNORE = 255
SIZE_HW = (40, 64)


def pair(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Label and mask: stripes of all classes but the last, which stands nowhere; the mask has lost some pixels."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(SIZE_HW[1])[None] * (classes - 1) // SIZE_HW[1], SIZE_HW[0], axis=0).astype(np.uint8)
    mask = np.where(rng.random(SIZE_HW) < 0.1, 0, label).astype(np.uint8)
    label[:4] = IGNORE
    return label, mask


def engine(name: str, seed: int, *, precision: str, engine_ms: float, classes: tuple[str, ...]) -> EngineAccuracy:
    label, mask = pair(seed, len(classes))
    matrix = ConfusionMatrix(len(classes), ignore=IGNORE)
    boundaries = BoundaryCounts(len(classes), ignore=IGNORE)
    matrix.add(label, mask)
    boundaries.add(LabelBands(label, ignore=IGNORE), mask)
    return EngineAccuracy(
        engine=f"folder/{name}",
        name=name,
        precision=precision,
        backend="openvino",
        backend_version="1",
        device="CPU",
        onnx_sha256="1" * 64,
        plan_sha256="2" * 64,
        plan_bytes=1000,
        size_hw=SIZE_HW,
        classes=classes,
        frames=1,
        ignore=IGNORE,
        accuracy=matrix.accuracy(),
        boundaries=boundaries.accuracy(),
        confusion=tuple(map(tuple, matrix.counts.tolist())),
        agreement=1.0,
        latency=EngineLatency(engine_p50_ms=engine_ms, total_p50_ms=engine_ms + 1, count=1, engine_covers="engine"),
        worst=(FrameScore(name="frame 1", miou=0.5),),
    )


def evaluation_of(*, classes: int = 4, first: str = "fp32.engine", int8_ms: float = 2.0) -> Evaluation:
    names = tuple(f"class {index}" for index in range(classes))
    engines = (
        engine(first, 1, precision="fp32", engine_ms=6.0, classes=names),
        engine("int8.engine", 2, precision="int8", engine_ms=int8_ms, classes=names),
    )
    label, mask = pair(1, classes)
    frame = np.full((*SIZE_HW, 3), 90, np.uint8)
    picture = FramePicture(name="frame 1", miou=0.5, frame_bgr=frame, label=label, mask=mask)
    colours = tuple(ClassSpec(name=name, colour=(index, 200, 100)) for index, name in enumerate(names))
    timed = [
        TimedEngine(
            name=one.name,
            precision=one.precision,
            backend=one.backend,
            size_hw=SIZE_HW,
            p50_ms=one.latency.engine_p50_ms,
        )
        for one in engines
    ]
    return Evaluation(
        reference=first,
        labels=LabelSpec(classes=colours),
        engines=engines,
        verdicts=precision_verdicts(timed),
        pictures=((picture,), (picture,)),
    )


def report_of(evaluation: Evaluation, *, skipped: tuple[SkippedFile, ...] = ()) -> AccuracyReport:
    return AccuracyReport(
        created_utc="2026-01-02T03:04:05+00:00",
        data=DataRecord(folder="data", layout="voc", split="val", frames=1, ignore=IGNORE, skipped=skipped),
        reference=evaluation.reference,
        environment=read_environment(),
        engines=evaluation.engines,
        verdicts=evaluation.verdicts,
    )


def page_of(evaluation: Evaluation) -> str:
    return accuracy_html(report_of(evaluation), evaluation)


def printed(report: AccuracyReport) -> str:
    output = io.StringIO()
    print_accuracy(report, Console(file=output, width=140))
    return output.getvalue()


@pytest.fixture(scope="module")
def page() -> str:
    return page_of(evaluation_of())


def test_the_page_refers_to_nothing_outside_itself(page: str) -> None:
    addresses = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert "http" not in addresses
    assert not {"script", "link", "iframe"} & set(checked(page).tags)
    assert not re.search(r"@import|url\((?!#)", page)
    assert not re.search(r'(?:src|href)="(?!#|data:image/)', page)


def test_the_page_is_well_formed_and_its_ids_are_unique(page: str) -> None:
    ids = checked(page).ids
    assert ids
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(ids)


def test_the_page_has_a_trimap_a_matrix_an_engine_and_three_pictures_a_frame(page: str) -> None:
    tags = checked(page).tags
    assert (tags.count("svg"), tags.count("img")) == (1 + 2, 2 * 3)
    assert not any(colour in page for colour in PAGE_COLOURS)


def test_all_forms_show_the_same_figures(page: str) -> None:
    report = report_of(evaluation_of())
    output = printed(report)
    lines = text.accuracy_lines(report) + text.agreement_lines(report) + text.latency_lines(report)
    assert len(lines) == 5 + 3 + 1 + 2
    for line in lines + text.class_lines(report):
        assert re.search(rf"{re.escape(line.name)}.*{r'.*'.join(map(re.escape, line.cells))}", output)
        assert all(f">{cell}<" in page for cell in line.cells)


def test_a_class_that_is_nowhere_is_a_dash_in_the_table() -> None:
    report = report_of(evaluation_of())
    assert text.class_lines(report)[3].cells == (text.NOTHING, text.NOTHING)


def test_json_has_the_documented_keys_and_null_for_nan(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    report = report_of(evaluation_of(), skipped=(SkippedFile(file="a.png", reason="is broken"),))
    write_accuracy_json(report, path)
    found = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert set(found) == set(AccuracyReport.__dataclass_fields__)
    assert set(found["engines"][0]) == set(EngineAccuracy.__dataclass_fields__)
    assert found["engines"][0]["accuracy"]["iou"][3] is None
    assert found["engines"][0]["accuracy"]["miou"] == report.engines[0].accuracy.miou
    assert np.array(found["engines"][0]["confusion"]).shape == (4, 5)
    assert found["data"]["skipped"] == [{"file": "a.png", "reason": "is broken"}]
    assert found["verdicts"][0]["is_worth_it"] is True


@pytest.mark.parametrize(
    ("int8_ms", "sentence"),
    [
        (2.0, "int8.engine: INT8 is 3.00x as fast here: 2.00 ms against 6.00 ms of fp32.engine on openvino"),
        (5.9, "int8.engine: INT8 is not worth it here: 5.90 ms against 6.00 ms of fp32.engine on openvino"),
    ],
)
def test_the_verdict_stands_in_page_and_terminal(int8_ms: float, sentence: str) -> None:
    evaluation = evaluation_of(int8_ms=int8_ms)
    assert sentence in printed(report_of(evaluation))
    assert sentence in page_of(evaluation)
    assert ("use the higher precision" in printed(report_of(evaluation))) is (int8_ms > 5)


def test_what_was_skipped_is_named_and_cut_short() -> None:
    skipped = tuple(SkippedFile(file=f"{index}.png", reason="is broken") for index in range(8))
    assert "Skipped 8 file(s): 0.png: is broken; 1.png" in printed(report_of(evaluation_of(), skipped=skipped))
    assert text.notes(report_of(evaluation_of(), skipped=skipped))[-1].endswith("4.png: is broken; and 3 more.")


def test_names_are_text_in_the_page_and_on_the_terminal() -> None:
    evaluation = evaluation_of(first=NASTY)
    checker = checked(page_of(evaluation))
    assert "b" not in checker.tags
    assert any(word.strip() == NASTY for word in checker.words)
    assert NASTY in printed(report_of(evaluation))


def test_one_engine_is_not_compared_with_itself() -> None:
    evaluation = evaluation_of()
    alone = replace(evaluation, engines=evaluation.engines[:1], verdicts=(), pictures=evaluation.pictures[:1])
    report = report_of(alone)
    assert text.agreement_lines(report) == []
    assert text.agreement_lines(replace(report, reference="net.onnx"))[0].name == "equal to net.onnx"
    assert checked(page_of(alone)).tags.count("svg") == 2


@pytest.mark.parametrize("classes", [2, 20, 21, 150])
def test_the_matrix_names_every_class_on_both_axes_at_any_number(classes: int) -> None:
    one = evaluation_of(classes=classes).engines[0]
    words = "".join(f"{word.strip()}|" for word in ElementTree.fromstring(plots.confusion(one, name="m")).itertext())
    sides = 2 if classes > plots.MOST_NUMBERED else 1
    for name in one.classes:
        assert f"|{words}".count(f"|{name}|") == 2 * sides
    needed_px = 12 * classes  # a line of the plot's text
    assert (plots.confusion_width_px(one) >= needed_px) is (classes > plots.MOST_NUMBERED)


def test_pixels_that_were_not_seen_have_a_column() -> None:
    one = evaluation_of().engines[0]
    assert plots.UNSEEN_NAME not in plots.confusion(one, name="m")
    cropped = replace(one, confusion=tuple((*row[:-1], 5) for row in one.confusion))
    assert plots.UNSEEN_NAME in plots.confusion(cropped, name="m")


def test_a_curve_without_a_boundary_is_drawn() -> None:
    evaluation = evaluation_of()
    nothing = tuple(
        replace(one, miou=float("nan"), pixel_accuracy=float("nan")) for one in evaluation[0].boundaries.trimap
    )
    blank = replace(evaluation[0], boundaries=replace(evaluation[0].boundaries, trimap=nothing))
    assert plots.trimap(report_of(replace(evaluation, engines=(blank,)))).startswith("<svg")


def test_wrong_pixels_are_striped_with_white_right_ones_dimmed_and_ignored_ones_black() -> None:
    label = np.zeros((12, 12), np.uint8)
    label[:4] = IGNORE
    mask = np.zeros((12, 12), np.uint8)
    mask[8:] = 1
    labels = LabelSpec(classes=(ClassSpec(name="a", colour=(100, 100, 100)), ClassSpec(name="b", colour=(10, 20, 30))))
    frame = np.zeros((12, 12, 3), np.uint8)
    picture = FramePicture(name="x", miou=0.5, frame_bgr=frame, label=label, mask=mask)
    painted = mask_bgr(picture, labels, ignore=IGNORE)
    assert not painted[:4].any()
    assert np.unique(painted[4:8]).tolist() == [40]
    colours = {tuple(one) for one in painted[8:].reshape(-1, 3).tolist()}
    assert colours == {(255, 255, 255), (30, 20, 10)}
    assert 0.3 < (painted[8:] == 255).all(-1).mean() < 0.7
