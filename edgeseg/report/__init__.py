"""Own reports: latency (measuring engines, and its forms) and accuracy (the forms of an evaluation)."""
