"""Mask R-CNN: its size, its stages, its weights' names, what its limits do, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from published import RESNET, parameters, resnet_keys, weightless

torch = pytest.importorskip("torch")

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.mask_rcnn import mask_rcnn  # noqa: E402
from edgeseg.export.nets.roi import joined  # noqa: E402
from edgeseg.export.nets.settling import settle  # noqa: E402

#: torchvision's documentation, num_params of maskrcnn_resnet50_fpn, 91 classes
PARAMETERS = 44_401_393
#: of ResNet-50, scale and offset; torchvision freezes them, and does not count them
NORM_PARAMETERS = 2 * (64 + 3 * 128 + 3 * 256 + 256 + 4 * 256 + 4 * 512 + 512 + 6 * 512 + 6 * 1024 + 1024 + 3 * 1024)
LAST_NORM_PARAMETERS = 2 * (3 * 2048 + 2048)
SMALL: dict[str, Any] = {"width": 0.125, "level_proposals": 60, "proposals": 40, "candidates": 60, "detections": 12}
SIZE_HW = (64, 96)
CLASSES = 5


def test_mask_r_cnn_has_the_parameters_of_torchvision_s_and_those_of_its_norms() -> None:
    assert parameters(mask_rcnn) == PARAMETERS + NORM_PARAMETERS + LAST_NORM_PARAMETERS


def test_every_stage_has_the_shape_that_its_docstring_says() -> None:
    shapes = shapes_of((800, 1088))
    levels = [(200, 272), (100, 136), (50, 68), (25, 34), (13, 17)]
    assert shapes["backbone.body"] == [(1, 256 << index, *level) for index, level in enumerate(levels[:4])]
    assert shapes["backbone"] == [(1, 256, *level) for level in levels]
    assert shapes["rpn.head.cls_logits"] == [(1, 3, *level) for level in levels]
    assert shapes["rpn.head.bbox_pred"] == [(1, 12, *level) for level in levels]
    assert shapes["rpn"] == [(300, 4), (300,)]
    assert shapes["roi_heads.box_head"] == [(300, 1024)]
    assert shapes["roi_heads.box_predictor"] == [(300, 91), (300, 364)]
    assert shapes["roi_heads.mask_head"] == [(50, 256, 14, 14)]
    assert shapes["roi_heads.mask_predictor"] == [(50, 91, 28, 28)]
    assert shapes[""] == [(1, 91, 800, 1088)]


@pytest.mark.parametrize("is_old", [False, True])
def test_torchvision_s_names_of_now_and_of_its_published_file_load(is_old: bool) -> None:
    net = mask_rcnn(CLASSES, **SMALL).eval()
    image = pictures()[:1]
    published = {new: torch.zeros(0) for new in names()}
    shapes = {key: one.shape for key, one in net.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert published.keys() == shapes.keys()
    old_names = dict(zip(names(), names(is_old=is_old), strict=True))
    generator = torch.Generator().manual_seed(8)
    weights = {old_names[key]: torch.rand(shape, generator=generator) * 0.1 for key, shape in shapes.items()}
    with torch.no_grad():
        before = net.rpn(net.backbone(image), SIZE_HW)[0]
        missing, extra = net.load_state_dict(weights, strict=False)
        after = net.rpn(net.backbone(image), SIZE_HW)[0]
    assert all(key.endswith("num_batches_tracked") for key in missing)
    assert extra == []
    assert not torch.allclose(before, after)
    assert all(torch.equal(net.state_dict()[key], weights[old_names[key]]) for key in shapes)


def test_masks_have_several_classes_and_change_with_the_picture() -> None:
    masks = settled()(pictures()).argmax(1)
    assert len(masks.unique()) >= 3
    assert not torch.equal(masks[0], masks[1])


def test_pictures_of_a_batch_do_not_see_each_other() -> None:
    net = settled()
    together = net(pictures())
    for index, one in enumerate(pictures()):
        alone = net(one[None])[0]
        assert (alone.argmax(0) == together[index].argmax(0)).float().mean() >= 0.99  # sums in another order


def test_where_no_instance_reaches_the_score_all_is_background() -> None:
    masks = settled(score=0.9999)(pictures())
    assert (masks.argmax(1) == 0).all()


@pytest.mark.parametrize(
    ("limits", "proposals", "detections"),
    [
        ({"level_proposals": 2}, 2 * 5, 12),
        ({"proposals": 7}, 7, 12),
        ({"candidates": 3}, 40, 3),
        ({"detections": 4}, 40, 4),
        ({"level_proposals": 10**6, "proposals": 10**6}, 5 * 16 * 24 * 3, 12),  # every level as long as the finest
    ],
)
def test_a_limit_is_how_many_boxes_there_are_where_there_are_so_many(
    limits: dict[str, int], proposals: int, detections: int
) -> None:
    net = mask_rcnn(CLASSES, **{**SMALL, **limits}).eval()
    with torch.no_grad():
        maps = net.backbone(pictures()[:1])
        boxes, counts = net.rpn(maps, SIZE_HW)
        found = net.roi_heads.detections(joined(maps[:-1]), boxes, counts, SIZE_HW)
    assert len(boxes) == len(counts) == proposals
    assert len(found.boxes) == len(found.labels) == len(found.scores) == detections


def test_detections_are_suppressed_class_by_class_and_by_falling_score() -> None:
    net, kept = settled(score=0.05, detections=40), []
    detect = net.roi_heads.detections
    net.roi_heads.detections = lambda *given: kept.append(detect(*given)) or kept[-1]
    net(pictures())
    for boxes, labels, scores in kept:
        count = int((scores > 0).sum())
        assert count > 3
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
        assert scores[:count].min() > 0.05
        assert labels.min() >= 1
        assert int(labels.max()) < CLASSES
        assert not any(
            labels[one] == labels[other] and iou(boxes[one].tolist(), boxes[other].tolist()) > 0.5
            for one in range(count)
            for other in range(one)
        )


def test_a_grey_image_and_another_number_of_classes_change_the_ends_alone() -> None:
    usual, other = mask_rcnn(CLASSES, **SMALL), mask_rcnn(3, 1, **SMALL).eval()
    differing = {
        key.rpartition(".")[0]
        for (key, one), two in zip(usual.state_dict().items(), other.state_dict().values(), strict=True)
        if one.shape != two.shape
    }
    heads = {"roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred"}
    assert differing == {"backbone.body.conv1", "roi_heads.mask_predictor.mask_fcn_logits"} | heads
    with torch.no_grad():
        assert other(torch.zeros(1, 1, 64, 128)).shape == (1, 3, 64, 128)


@pytest.mark.parametrize("size_hw", [(64, 64), (96, 64), (160, 96)])
def test_heights_and_widths_are_multiples_of_32_from_64_on(size_hw: tuple[int, int]) -> None:
    with torch.no_grad():
        assert mask_rcnn(CLASSES, **SMALL).eval()(torch.zeros(1, 3, *size_hw)).shape == (1, CLASSES, *size_hw)


@pytest.mark.parametrize("size_hw", [(32, 64), (64, 72), (100, 96)])
def test_other_heights_and_widths_are_refused(size_hw: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match=r"multiples of 32, from 64 on"):
        mask_rcnn(CLASSES, **SMALL).eval()(torch.zeros(1, 3, *size_hw))


def test_training_is_refused_and_where_to_train_is_told() -> None:
    with pytest.raises(ModelError, match="does not train here") as refused:
        mask_rcnn(CLASSES, **SMALL).train()(torch.zeros(1, 3, *SIZE_HW))
    assert "torchvision" in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [({"num_classes": 1}, "num_classes is 1"), ({"detections": 0}, "is 0"), ({"rounds": -1}, "is -1")],
)
def test_too_few_classes_boxes_or_rounds_are_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        mask_rcnn(**{**SMALL, **arguments})


def test_norm_eps_is_that_of_every_norm() -> None:
    net = mask_rcnn(CLASSES, **SMALL, norm_eps=0.0)
    assert {one.eps for one in net.modules() if isinstance(one, torch.nn.BatchNorm2d)} == {0.0}


def settled(**limits: Any) -> Any:
    """A small net whose random weights look at the pictures."""
    torch.manual_seed(1)
    net = mask_rcnn(CLASSES, **{**SMALL, **limits})
    settle(net, pictures(), classes=CLASSES)
    return net.requires_grad_(False)


def pictures() -> Any:
    """Two of smooth noise."""
    coarse = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(6))
    return torch.nn.functional.interpolate(coarse, SIZE_HW, mode="bilinear") * 2


def shapes_of(size_hw: tuple[int, int]) -> dict[str, list[tuple[int, ...]]]:
    """The shapes that every module gives, of all its calls, at the published width."""
    net = weightless(mask_rcnn)
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for name, module in net.named_modules():
        module.register_forward_hook(lambda _, __, made, name=name: shapes.setdefault(name, []).extend(flat(made)))
    net(torch.empty(1, 3, *size_hw, device="meta"))
    return shapes


def flat(made: Any) -> Iterator[tuple[int, ...]]:
    """The shapes of one tensor or several."""
    for one in [made] if isinstance(made, torch.Tensor) else made:
        yield tuple(one.shape)


def names(*, is_old: bool = False) -> list[str]:
    """Keys of torchvision's state dict; ``is_old``, of its published file."""
    body = [key for key in resnet_keys(RESNET["resnet50"]) if not key.endswith("num_batches_tracked")]
    return [*(f"backbone.body.{key}" for key in body), *pyramid_names(is_old), *head_names(is_old)]


def pyramid_names(is_old: bool) -> Iterator[str]:
    """Of the feature pyramid."""
    for kind in ("inner_blocks", "layer_blocks"):
        for level in range(4):
            home = f"backbone.fpn.{kind}.{level}" + ("" if is_old else ".0")
            yield from (f"{home}.weight", f"{home}.bias")


def head_names(is_old: bool) -> Iterator[str]:
    """Of the three heads."""
    masks = [f"mask_fcn{index + 1}" if is_old else f"{index}.0" for index in range(4)]
    homes = ["rpn.head.conv" if is_old else "rpn.head.conv.0.0", "rpn.head.cls_logits", "rpn.head.bbox_pred"]
    homes += [f"roi_heads.box_head.{one}" for one in ("fc6", "fc7")]
    homes += [f"roi_heads.box_predictor.{one}" for one in ("cls_score", "bbox_pred")]
    homes += [f"roi_heads.mask_head.{one}" for one in masks]
    homes += [f"roi_heads.mask_predictor.{one}" for one in ("conv5_mask", "mask_fcn_logits")]
    yield from (f"{home}.{one}" for home in homes for one in ("weight", "bias"))


def iou(one: list[float], other: list[float]) -> float:
    """Of two boxes."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)
