"""A whole run of several sources with a real engine and real sinks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.errors import AddressError, OptionsError, SourceError
from edgeseg.runtime.loop import LoopOptions
from edgeseg.runtime.service import Service, ServiceRequest
from edgeseg.runtime.sources import FrameSource, SourceOptions, open_source

SMALL, LARGE = "test://?size=64x48&frames=12", "test://?size=96x48&frames=7"


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def bare(line: dict[str, Any]) -> dict[str, Any]:
    """Without its times, which are rounded at the moment of writing."""
    return {name: value for name, value in line.items() if not name.endswith("_s")}


def request(chain: Any, *sources: str, **more: Any) -> ServiceRequest:
    return ServiceRequest(engine=chain.fp32, sources=sources, **more)


def test_every_source_has_its_own_sinks_and_shares_the_others(chain: Any, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    sinks = tuple(str(tmp_path / name) for name in ("m-{source}.jsonl", "v-{source}.mp4", "all.jsonl"))
    with Service(request(chain, SMALL, LARGE, sinks=sinks)) as service:
        assert service.length == 19
        seen = service.run()
    assert [one.masks for one in seen.sources] == [12, 7]
    assert [one.written for one in seen.sinks] == [12, 7, 12, 7, 19]
    assert [one.dropped for one in seen.sinks] == [0] * 5
    shared = [bare(line) for line in lines_of(tmp_path / "all.jsonl")]
    for index, size_wh in enumerate([(64, 48), (96, 48)]):
        own = [bare(line) for line in lines_of(tmp_path / f"m-{index}.jsonl")]
        assert own == [line for line in shared if line["source"] == index]
        assert [line["sequence"] for line in own] == list(range(seen.sources[index].masks))
        with av.open(str(tmp_path / f"v-{index}.mp4")) as video:
            pictures = [frame.to_ndarray(format="bgr24") for frame in video.decode(video=0)]
        assert [np.shape(one)[1::-1] for one in pictures] == [size_wh] * seen.sources[index].masks


def test_each_sources_masks_are_steadied_by_its_own_past(chain: Any, tmp_path: Path) -> None:
    def masks(folder: str, *sources: str, smooth: float | None = 0.9) -> list[list[dict[str, Any]]]:
        place = tmp_path / folder / "m-{source}.jsonl"
        with Service(request(chain, *sources, sinks=(str(place),), smooth=smooth)) as service:
            service.run()
        names = [str(place).format(source=index) for index in range(len(sources))]
        return [[{**bare(line), "source": 0} for line in lines_of(Path(name))] for name in names]

    alone = masks("small", SMALL) + masks("large", LARGE)
    assert masks("both", SMALL, LARGE) == alone
    assert masks("plain", SMALL, smooth=None) != alone[:1]


def test_what_does_not_go_together_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    nothing = tmp_path / "no.engine"
    for more, says in (
        ({"sinks": ("v.mp4",)}, "v-{source}.mp4"),
        ({"alpha": float("nan")}, "0 to 1"),
    ):
        with pytest.raises(OptionsError, match=says):
            Service(ServiceRequest(engine=nothing, sources=(SMALL, "no.mp4"), **more))  # type: ignore[arg-type]


def test_an_absent_camera_is_gone_without_where_it_may_come_back(chain: Any) -> None:
    camera = "shm://edgeseg-test-nobody-writes"
    with Service(request(chain, SMALL, camera)) as service:
        assert service.length is None
        seen = service.run(on_mask=lambda masks: service._stop.set() if masks == 12 else None)
    assert seen.sources[0].masks == 12
    assert (seen.sources[1].frames_in, "edgeseg-test-nobody-writes" in seen.sources[1].error) == (0, True)
    with pytest.raises(SourceError, match="nobody-writes"):
        Service(request(chain, SMALL, camera, loop=LoopOptions(reconnect=False)))
    with pytest.raises(SourceError, match="nobody-writes"):
        Service(request(chain, camera, camera))
    with pytest.raises(AddressError, match="says 'rate'"):
        Service(request(chain, SMALL, "v4l2:///dev/video0?rate=3"))


@pytest.mark.parametrize(
    ("others", "asked", "paced"),
    [
        ((), None, False),
        ((SMALL,), None, False),
        (("test://?fps=30",), None, True),
        (("test://?fps=30",), False, False),
    ],
)
def test_a_file_is_paced_beside_a_camera_unless_that_is_said(
    chain: Any, clip: Path, monkeypatch: pytest.MonkeyPatch, others: tuple[str, ...], asked: bool | None, paced: bool
) -> None:
    seen = {}

    def opened(name: str, options: SourceOptions = SourceOptions()) -> FrameSource:  # noqa: B008
        seen[name] = options
        return open_source(name, options)

    monkeypatch.setattr("edgeseg.runtime.service.open_source", opened)
    Service(request(chain, str(clip), *others, is_paced=asked, repeat=2)).close()
    assert seen.pop(str(clip)) == SourceOptions(is_paced=paced, repeat=2)
    assert set(seen.values()) <= {SourceOptions()}, "what cannot be played is left alone"


def test_what_cannot_be_played_is_not_where_nothing_can(chain: Any) -> None:
    with pytest.raises(SourceError, match="neither paced nor repeated"):
        Service(request(chain, SMALL, LARGE, is_paced=True))


@pytest.mark.parametrize("source", ["clip.mp4", "file://{here}/clip.mp4", "pictures"])
def test_a_sink_never_replaces_what_the_source_reads(tmp_path: Path, monkeypatch: Any, source: str) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "link.mp4").symlink_to("clip.mp4")
    monkeypatch.chdir(tmp_path)
    own = "pictures/../pictures" if source == "pictures" else "link.mp4"
    for sink in (own, f"{tmp_path / source}" if "://" not in source else "mask:./clip.mp4"):
        with pytest.raises(OptionsError, match="is the source too, and would be written over"):
            Service(ServiceRequest(engine=Path("no.engine"), sources=(source.format(here=tmp_path),), sinks=(sink,)))
