"""Stand in for PyCUDA 2026.1, on host memory."""

VERSION = (2026, 1)
VERSION_STATUS = ""
VERSION_TEXT = "2026.1"
