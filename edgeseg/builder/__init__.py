"""Own the way from ONNX to an engine: checks, calibration, precision, back ends."""
