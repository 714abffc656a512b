"""Own the way from a trained PyTorch net to ONNX and its sidecar. Know no engine."""
