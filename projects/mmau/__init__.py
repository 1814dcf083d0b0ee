"""MMAU: planned; its tables and printed numbers, no stages yet."""
