"""Between an encoder and a language model: projectors, Q-Former, aggregator, soft prompt, LoRA, prefix."""
