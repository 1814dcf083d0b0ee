"""How a stage runs: configuration, tracking, files, provenance, hardware."""
