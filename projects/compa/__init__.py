"""CompA (ICLR 2024): compositional reasoning of audio-language models."""
