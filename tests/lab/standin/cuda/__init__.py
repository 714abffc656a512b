"""Stand in for what cuda-bindings lies in: the real ones would take the stand-in's driver for a whole one."""
