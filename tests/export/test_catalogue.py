"""The names of the built-in nets: each leads to its factory, an unknown one to the nearest or to the list."""

from __future__ import annotations

import importlib
import inspect

import pytest

from edgeseg.errors import ModelError
from edgeseg.export.catalogue import BUILT_IN, GREY, VGG_MEANS, BuiltIn, find_built_in, is_bare_name
from edgeseg.spec import FrameOptions

COLOUR_NET = BuiltIn(name="net", factory="a:b", size_hw=(64, 64), title="a net", source="Anyone 2026")
GREY_NET = BuiltIn(name="net", factory="a:b", size_hw=(64, 64), title="a net", source="Anyone 2026", frame=GREY)
VGG_NET = BuiltIn(name="net", factory="a:b", size_hw=(64, 64), title="a net", source="Anyone 2026", frame=VGG_MEANS)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_name_is_a_single_word_that_leads_to_a_factory_of_its_own(name: str) -> None:
    assert is_bare_name(name)
    found = find_built_in(name)
    assert found.name == name
    assert [one.name for one in BUILT_IN.values() if one.factory == found.factory] == [name]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_factory_takes_classes_channels_and_width(name: str) -> None:
    pytest.importorskip("torch")
    module, _, function = BUILT_IN[name].factory.partition(":")
    factory = getattr(importlib.import_module(module), function)
    assert {"num_classes", "in_channels", "width"} <= set(inspect.signature(factory).parameters)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("unett", "nearest is unet"),
        ("UNet", "nearest is unet"),
        ("deeplabv3", "nearest is deeplab-v3"),
        ("mask_rcnn", "nearest is mask-rcnn"),
        ("psp", "nearest is pspnet"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(word: str, told: str) -> None:
    with pytest.raises(ModelError, match=rf"no built-in net '{word}': {told}.*edgeseg export --list"):
        find_built_in(word)


@pytest.mark.parametrize("word", ["segmentation", "yolo", "transformer"])
def test_a_word_that_is_near_nothing_is_refused_with_the_list(word: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_built_in(word)
    assert caught.value.hint.startswith("'edgeseg export --list' shows all")
    assert "nearest" not in str(caught.value)


@pytest.mark.parametrize(
    "word", ["", "package.module:factory", "net.py:Net", "net.onnx", "dir/net", "two words", "a:b"]
)
def test_files_and_modules_are_no_bare_names(word: str) -> None:
    assert not is_bare_name(word)


@pytest.mark.parametrize(
    ("net", "arguments", "channels", "frame"),
    [
        (COLOUR_NET, {}, 3, FrameOptions()),
        (COLOUR_NET, {"in_channels": 3, "width": 0.5}, 3, FrameOptions()),
        (COLOUR_NET, {"in_channels": 1}, 1, GREY),
        (GREY_NET, {}, 1, GREY),
        (GREY_NET, {"in_channels": 1}, 1, GREY),
        (GREY_NET, {"in_channels": 3}, 3, FrameOptions()),
        (VGG_NET, {"in_channels": 3}, 3, VGG_MEANS),
        (VGG_NET, {"in_channels": 1}, 1, GREY),
    ],
)
def test_frames_are_grey_where_the_image_has_one_channel(
    net: BuiltIn, arguments: dict[str, object], channels: int, frame: FrameOptions
) -> None:
    assert net.channels_for(arguments) == channels
    assert net.frame_for(arguments) == frame


@pytest.mark.parametrize("channels", [0, 2, 4, "RGB", None])
def test_channels_that_no_frame_has_are_refused(channels: object) -> None:
    with pytest.raises(ModelError, match=r"frames have 1 channel \(grey\) or 3 \(colour\)"):
        COLOUR_NET.frame_for({"in_channels": channels})


@pytest.mark.parametrize("frame", [GREY, VGG_MEANS])
def test_the_frames_that_the_catalogue_names_can_be_an_input(frame: FrameOptions) -> None:
    image = frame.input_spec(name="image", size_hw=(64, 64))
    assert image.channels == (1 if frame is GREY else 3)
