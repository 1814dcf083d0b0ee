"""Audio Flamingo 3: planned; its tables and printed numbers, no stages yet."""
