"""Own when the zoo is collected: where `make test-zoo` names its file. `make test` passes it by."""

from __future__ import annotations

collect_ignore_glob = ["*.py"]  # its packages are in an environment of their own, and it takes minutes
