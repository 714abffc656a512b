from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.errors import ShapeError
from edgeseg.imaging.geometry import Rect, place
from edgeseg.spec import ResizeRule

SIDES = st.integers(1, 4000)
SIZES = st.tuples(SIDES, SIDES)


@pytest.mark.parametrize(
    ("rule", "source_wh", "size_wh", "source", "target"),
    [
        ("stretch", (1920, 1080), (1024, 512), (0, 0, 1920, 1080), (0, 0, 1024, 512)),
        ("letterbox", (1920, 1080), (640, 640), (0, 0, 1920, 1080), (0, 140, 640, 360)),
        ("letterbox", (1080, 1920), (640, 640), (0, 0, 1080, 1920), (140, 0, 360, 640)),
        ("letterbox", (100, 100), (51, 20), (0, 0, 100, 100), (15, 0, 20, 20)),  # the odd rest goes right
        ("letterbox", (4000, 1), (10, 10), (0, 0, 4000, 1), (0, 4, 10, 1)),
        ("crop", (1920, 1080), (1024, 512), (0, 60, 1920, 960), (0, 0, 1024, 512)),
        ("crop", (1920, 1080), (512, 512), (420, 0, 1080, 1080), (0, 0, 512, 512)),
        ("crop", (1, 4000), (4000, 1), (0, 1999, 1, 1), (0, 0, 4000, 1)),
    ],
)
def test_the_picture_lies_where_the_rule_says(
    rule: ResizeRule,
    source_wh: tuple[int, int],
    size_wh: tuple[int, int],
    source: tuple[int, ...],
    target: tuple[int, ...],
) -> None:
    assert place(rule, source_wh=source_wh, size_wh=size_wh) == (source, target)


@given(st.sampled_from(["stretch", "letterbox", "crop"]), SIZES, SIZES)
def test_source_and_target_are_inside_and_centred(
    rule: ResizeRule, source_wh: tuple[int, int], size_wh: tuple[int, int]
) -> None:
    source, target = place(rule, source_wh=source_wh, size_wh=size_wh)
    for rect, (width, height) in ((source, source_wh), (target, size_wh)):
        assert min(rect.width, rect.height) >= 1
        assert 0 <= width - rect.width - 2 * rect.x <= 1
        assert 0 <= height - rect.height - 2 * rect.y <= 1


@given(SIZES, SIZES)
def test_letterbox_touches_two_sides_and_crop_two_of_the_picture(
    source_wh: tuple[int, int], size_wh: tuple[int, int]
) -> None:
    target = place("letterbox", source_wh=source_wh, size_wh=size_wh).target
    assert target.width == size_wh[0] or target.height == size_wh[1]
    source = place("crop", source_wh=source_wh, size_wh=size_wh).source
    assert source.width == source_wh[0] or source.height == source_wh[1]


def test_a_region_is_placed_as_if_it_were_the_picture() -> None:
    source, target = place("crop", source_wh=(100, 100), size_wh=(10, 10), roi=Rect(20, 30, 60, 40))
    assert (source, target) == (Rect(30, 30, 40, 40), Rect(0, 0, 10, 10))


@pytest.mark.parametrize("roi", [Rect(0, 0, 11, 1), Rect(10, 0, 1, 1), Rect(0, -1, 1, 1), Rect(0, 0, 0, 1)])
def test_a_region_outside_the_picture_is_refused(roi: Rect) -> None:
    with pytest.raises(ShapeError, match="no part of a picture"):
        place("stretch", source_wh=(10, 10), size_wh=(4, 4), roi=roi)


@pytest.mark.parametrize("source_wh", [(0, 4), (4, 0), (-1, 4)])
def test_a_side_below_one_is_refused(source_wh: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match="1 or more"):
        place("stretch", source_wh=source_wh, size_wh=(4, 4))
