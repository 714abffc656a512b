"""What scripts/measure_precision.py says of figures: losses, and whatever was promised and did not come."""

from __future__ import annotations

from typing import Any

import pytest

for package in ("torch", "cv2", "jinja2", "safetensors", "av"):
    pytest.importorskip(package)

import msgspec  # noqa: E402
from measure_precision import JUDGED_SEED, PROMISE_SEED, PrecisionFigures, misses, page  # noqa: E402
from net_figures import MACHINE  # noqa: E402
from net_precision import (  # noqa: E402
    METHODS,
    Accuracies,
    EngineFigures,
    NetPrecision,
    PromiseFigures,
    RtxFigures,
    Speed,
)

FP32 = EngineFigures(miou=0.60, boundary_miou=0.50)
INT8 = EngineFigures(miou=0.55, boundary_miou=0.44, quantised_layers=10)
KEPT = EngineFigures(miou=0.598, boundary_miou=0.498, quantised_layers=8)
PROMISE = PromiseFigures(
    method="max",
    reference_miou=0.61,
    promised_miou=0.607,
    trials=9,
    kept_layers=("down.0", "up.1"),
    kept_others=("Add in down.1",),
    engine=KEPT,
)
NET = NetPrecision(
    accuracies=Accuracies(
        size_hw=(96, 192),
        layers=10,
        fp32=FP32,
        bf16=None,
        int8=dict.fromkeys(METHODS, INT8),
        promises=(PROMISE,),
        rtx=RtxFigures(
            judged_by="ONNX Runtime", fp32_miou=0.6, fp16_miou=0.60001, int8_miou=0.55, wide=0, wide_named=()
        ),
    ),
    speeds={
        "fp32": Speed(p50_ms=6.0),
        "int8-max": Speed(p50_ms=2.0, ratio=3.0, lowest=2.9, highest=3.1),
        "promise-max": Speed(p50_ms=3.0, ratio=2.0, lowest=1.9, highest=2.1),
    },
    load=0.1,
)


def made(net: NetPrecision = NET) -> str:
    return page(PrecisionFigures(machine=MACHINE, nets={"unet-mini": net}))


def with_promise(**changes: Any) -> NetPrecision:
    promise = msgspec.structs.replace(PROMISE, **changes)
    return msgspec.structs.replace(NET, accuracies=msgspec.structs.replace(NET.accuracies, promises=(promise,)))


def with_speeds(**p50_ms: float) -> NetPrecision:
    return msgspec.structs.replace(
        NET, speeds={name.replace("_", "-"): Speed(p50_ms=one) for name, one in p50_ms.items()}
    )


def test_training_search_and_judgement_have_streets_of_their_own() -> None:
    trained_and_calibrated = 0
    assert len({trained_and_calibrated, PROMISE_SEED, JUDGED_SEED}) == 3


def test_losses_are_points_below_fp32_and_those_of_boundaries_stand_in_brackets() -> None:
    assert "| `unet-mini` | 96x192 | 10 of 10 | 60.00 % (50.00 %) | - | 5.00 (6.00) |" in made()


def test_a_gain_that_rounds_to_nothing_has_no_sign() -> None:
    assert "| `unet-mini` | 60.00 % | 0.00 | 5.00 | 0 |" in made()


def test_a_promise_s_row_has_both_drops_and_the_layers_that_were_kept() -> None:
    row = "| `unet-mini` | max | 8 of 10 | 0.30 | 0.20 (0.20) | 9 | `down.0`, `up.1`, Add in down.1 |"
    assert row in made()


def test_a_promise_that_kept_nothing_is_as_fast_as_plain_int8() -> None:
    speeds = {name: NET.speeds[name] for name in ("fp32", "int8-max")}
    plain = msgspec.structs.replace(with_promise(kept_layers=(), kept_others=()), speeds=speeds)
    figures = PrecisionFigures(machine=MACHINE, nets={"unet-mini": plain, "segnet": NET})
    assert "| `unet-mini` | 6.00 ms | - | 3.00x (2.90 to 3.10) | as INT8 | 0.1 |" in page(figures)
    assert "| `segnet` | 6.00 ms | - | 3.00x (2.90 to 3.10) | 2.00x (1.90 to 2.10) | 0.1 |" in page(figures)


def test_nothing_is_missed_where_all_promises_hold_and_int8_is_faster() -> None:
    assert misses({"unet-mini": NET}) == []
    assert "Every promise held" in made()


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (with_promise(refused="the budget ended", engine=None), "no engine that keeps the promise: the budget ended"),
        (
            with_promise(engine=msgspec.structs.replace(KEPT, miou=0.594)),
            "0.30 points are lost on the search's frames, 0.60 on the others",
        ),
        (with_promise(engine=msgspec.structs.replace(KEPT, quantised_layers=0)), "leaves no layer in INT8"),
        (with_speeds(fp32=2.0, int8_max=1.95), "INT8 is 1.03x as fast as FP32"),
        (with_speeds(fp32=4.0, bf16=2.0, int8_max=1.95), "INT8 is 1.03x as fast as BF16"),
        (with_speeds(fp32=4.0, int8_max=1.0, promise_max=4.0), "INT8 with the promise (max) is 1.00x as fast as FP32"),
    ],
)
def test_what_was_promised_and_did_not_come_is_said(net: NetPrecision, told: str) -> None:
    (text,) = misses({"unet-mini": net})
    assert text.startswith("`unet-mini`")
    assert told in text
    assert f"- {text}" in made(net)
