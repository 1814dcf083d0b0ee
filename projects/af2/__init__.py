"""Audio Flamingo 2: planned; its tables and printed numbers, no stages yet."""
