"""Hold the nets that ship with edgeseg, one module each. Import nothing, so that torch is loaded only on demand."""
