"""The table of options in docs/tensorrt.md against what the real bindings of each release say."""

from __future__ import annotations

import re

import pytest
import tensorrt_page
from tensorrt_page import PAGE_PATH, table_of, with_table
from trt_check import PACKAGE
from trt_releases import UnavailableError

pytestmark = pytest.mark.contract

FOUND = {"One": {"--a x": "", "--a y": "", "--b": "it has no C.b"}, "Two": {"--a x": "", "--a y": "", "--b": "no card"}}


def test_the_table_of_the_page_is_what_the_bindings_say() -> None:
    page = PAGE_PATH.read_text()
    try:
        assert page == with_table(page), "run 'make tensorrt-page'"
    except UnavailableError as error:
        pytest.skip(str(error))


def test_values_of_one_answer_share_a_row_and_a_refusal_has_its_reason() -> None:
    assert list(table_of(FOUND)) == [
        "| option | One | Two |",
        "|---|---|---|",
        "| `--a`: `x`, `y` | yes | yes |",
        "| `--b` | no | no (1) |",
        "",
        "1. no card",
    ]


def test_a_page_without_a_place_for_the_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place"):
        with_table(f"{tensorrt_page.BEGIN}\n")


def quoted_errors() -> list[str]:
    """What the page says that messages say; dots stand for what differs."""
    table = PAGE_PATH.read_text().partition("| it says |")[2]
    return re.findall(r"^\| `([^`]*)` \|", table, re.MULTILINE)


@pytest.mark.parametrize("message", quoted_errors())
def test_an_error_of_the_page_is_one_of_ours(message: str) -> None:
    source = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    # a message may go on in the next line of the source
    joined = re.sub(r'"\s*\n\s*f?"', "", source)
    parts = [part.strip(" ,:()") for part in message.split("...")]
    assert [part for part in parts if part and part not in joined] == []


def test_the_page_explains_errors() -> None:
    assert len(quoted_errors()) >= 10
