"""Stand in for cuda-bindings, of which we use the driver's calls alone."""
