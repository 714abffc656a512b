"""Own the command line: one file a command, no work of its own."""
