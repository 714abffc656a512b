"""Own the way from an engine file to masks on a device. Know nothing of exporting or building."""
