"""Own what our own table of options says of one release: each option, and why not. Know no release.

    python scripts/trt_offers.py MODULE PACKAGE

It runs in a process of its own, beside the bindings that it is for; see trt_releases.
"""

from __future__ import annotations

import importlib
import json
import sys

from edgeseg.builder.backends.tensorrt.offers import OFFERS, lacking


def main() -> None:
    """Print the options with the reason why the named package does not take them, empty where it does."""
    module = importlib.import_module(sys.argv[1])
    print(json.dumps([[offer.option, lacking(module, sys.argv[2], offer)] for offer in OFFERS]))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
