"""Audio: reading and writing, mel front ends, deterministic crops and windows."""
