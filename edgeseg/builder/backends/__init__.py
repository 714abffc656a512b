"""Own the choice of a back end to build with."""
