"""Language models: one protocol, clients over HTTP and on this machine, a cache, prompts, JSON answers."""
