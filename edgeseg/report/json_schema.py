"""Own the published JSON Schema of a benchmark report, made from its records. Validate nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgeseg.report.record import Report, indented_json

__all__ = ["SCHEMA_FILE", "main", "report_schema"]

SCHEMA_FILE = Path(__file__).parent / "schema" / "benchmark-1.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def report_schema() -> bytes:
    """The schema, UTF-8 JSON: draft 2020-12, strict: it refuses unknown keys as reading does.

    What the records check beyond their types (counts that agree, ranges of settings) is not in it.
    """
    (reference,), parts = msgspec.json.schema_components([Report], ref_template="#/$defs/{name}")
    head = {"$schema": DIALECT, "$id": f"urn:edgeseg:{SCHEMA_FILE.stem}", "title": "edgeseg benchmark report"}
    return indented_json({**head, **reference, "$defs": parts})


def main() -> None:
    """Write the file; ``make schema`` does."""
    SCHEMA_FILE.parent.mkdir(exist_ok=True)
    SCHEMA_FILE.write_bytes(report_schema())


if __name__ == "__main__":
    main()
