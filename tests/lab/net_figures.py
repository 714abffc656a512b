"""Own figures of two nets as a measurement writes them, one without MACs. They are nobody's: measure nothing."""

from __future__ import annotations

from edgeseg.export.measured import Machine, Measured, NetFigures

FIGURES = NetFigures(
    size_hw=(512, 512),
    parameters=31_042_369,
    macs=219_040_000_000,
    fp32_ms=1250.54,
    int8_ms=412.34,
    fp32_bytes=124_000_000,
    int8_bytes=31_000_000,
    rtx_bytes=125_000_000,
    agreement=0.9999,
)
UNCOUNTED = NetFigures(
    size_hw=(513, 513),
    parameters=1_000_000,
    macs=None,
    fp32_ms=2.0,
    int8_ms=1.0,
    fp32_bytes=1,
    int8_bytes=1,
    rtx_bytes=1,
    agreement=1.0,
)
MACHINE = Machine(cpu="Some CPU", cores=2, date="2026-11-21", versions={"openvino": "2026.4.1"})
MEASURED = Measured(machine=MACHINE, nets={"unet": FIGURES, "deeplab-v1-crf": UNCOUNTED})
