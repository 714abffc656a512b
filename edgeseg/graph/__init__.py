"""Own work on ONNX graphs: reading, the tail, rewrites, counts. No torch, no engine."""
