"""Own pixels: a frame to the net's input, logits to a mask, a mask to a picture. Know no engine."""
