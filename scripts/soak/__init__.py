"""Own the proofs that the loop runs for months: faults, what they cost, and the page that tells it. Ship nothing."""
