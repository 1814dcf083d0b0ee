"""GAMA (EMNLP 2024): an audio language model of several encoders, and complex reasoning about sounds."""
