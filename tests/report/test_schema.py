from __future__ import annotations

import json

import jsonschema
import pytest

from edgeseg.report.json_schema import SCHEMA_FILE, report_schema
from edgeseg.report.record import Report, report_json


def problems(document: object) -> list[str]:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_bytes()))
    return [error.message for error in validator.iter_errors(document)]


def test_the_published_schema_is_that_of_the_records() -> None:
    assert SCHEMA_FILE.read_bytes() == report_schema(), "the records changed: run 'make schema'"


def test_the_published_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA_FILE.read_bytes()))


def test_a_real_report_validates(report: Report) -> None:
    assert problems(json.loads(report_json(report))) == []


@pytest.mark.parametrize(
    ("key", "value"), [("schema", 2), ("engines", "none"), ("$schema", "x"), ("settings", {"a": 1})]
)
def test_what_reading_refuses_does_not_validate(report: Report, key: str, value: object) -> None:
    assert problems(json.loads(report_json(report)) | {key: value})
