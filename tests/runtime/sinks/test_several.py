from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeseg.errors import OptionsError, OutputError
from edgeseg.runtime.sinks import Feed, check_sinks, open_sinks

FILE, CAMERA = Feed(fps=5.0, is_live=False), Feed(fps=30.0, is_live=True)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("out.d/overlay.mp4", "out.d/overlay-{source}.mp4"),
        ("mask:classes.mkv", "mask:classes-{source}.mkv"),
        ("masks", "masks-{source} for"),
        ("shm://masks", "shm://masks-{source}"),
        ("rtsp-out://:8554/live", "rtsp-out://:855{source}/live"),
        ("display", "--serve"),
    ],
)
def test_a_sink_that_carries_one_source_is_refused_for_two_with_the_remedy(name: str, remedy: str) -> None:
    check_sinks([name], sources=1)
    with pytest.raises(OptionsError, match="there are 2") as refused:
        check_sinks(["none", name], sources=2)
    assert remedy in str(refused.value)


@pytest.mark.parametrize("name", ["none", "masks.jsonl", "py:module:function", "overlay-{source}.mp4"])
def test_a_sink_that_tells_sources_apart_takes_several(name: str) -> None:
    check_sinks([name], sources=2)


def test_a_name_with_the_word_is_opened_once_for_each_source_as_that_source_is(
    labels: Any, make: Any, tmp_path: Path
) -> None:
    pytest.importorskip("av")
    import av

    names = [str(tmp_path / "a.jsonl"), str(tmp_path / "v-{source}.mp4"), "none"]
    with open_sinks(names, labels, [FILE, CAMERA]) as sinks:
        assert [(Path(sink.name).name, sink.source) for sink in sinks] == [
            ("a.jsonl", None), ("v-0.mp4", 0), ("v-1.mp4", 1),
        ]  # fmt: skip
        growing = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
        assert {"a.jsonl", "v-1.mp4"} <= growing and "v-0.mp4" not in growing, "a file's video appears when it is whole"
        for sink in sinks:
            sink.write(*make(0))
            sink.close()
    with av.open(str(tmp_path / "v-0.mp4")) as video:
        assert video.streams.video[0].average_rate == 5
    assert json.loads((tmp_path / "a.jsonl").read_text())["source"] == 0


def test_one_source_has_the_number_0(labels: Any, tmp_path: Path) -> None:
    with open_sinks([str(tmp_path / "{source}" / "masks")], labels, [FILE]) as sinks:
        assert (sinks[0].name, sinks[0].source) == (str(tmp_path / "0" / "masks"), 0)


def test_where_one_of_several_cannot_be_opened_none_is_left(labels: Any, tmp_path: Path) -> None:
    (tmp_path / "1").write_text("a file where a folder is needed")
    with pytest.raises(OutputError), open_sinks([str(tmp_path / "{source}" / "a.jsonl")], labels, [CAMERA, CAMERA]):
        pass
    assert list((tmp_path / "0").iterdir()) == []


@pytest.mark.parametrize(
    ("names", "sources"),
    [
        (("a.mp4", "./a.mp4"), 1),
        (("a.mp4", "mask:a.mp4"), 1),
        (("masks", "none", "masks/"), 1),
        (("m-{source}.jsonl", "m-1.jsonl"), 2),
    ],
)
def test_two_sinks_of_one_place_are_refused(names: tuple[str, ...], sources: int) -> None:
    with pytest.raises(OptionsError, match="would write to one place"):
        check_sinks(names, sources=sources)


def test_sinks_without_files_may_be_named_as_often_as_one_likes() -> None:
    check_sinks(["none", "none", "py:module:function", "py:module:function", "m-0.jsonl", "m-{source}.mp4"], sources=1)


def test_an_empty_name_is_no_folder(labels: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="a sink has an empty name"), open_sinks([""], labels, [FILE]):
        pass
