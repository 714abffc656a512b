"""Hold the small labelled street set and the modules that draw it. Import nothing."""
