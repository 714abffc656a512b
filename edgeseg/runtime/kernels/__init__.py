"""Own the CUDA kernels around an engine: their sources, their parameters and their launch sizes."""
