"""Own latency reports: measuring engines, and JSON, Markdown and HTML of what was measured."""
