"""Stand where cuda-bindings is not installed: it would take the stand-in of the driver for a whole one."""

raise ImportError("there is no cuda-bindings on the stand-in's machine")
