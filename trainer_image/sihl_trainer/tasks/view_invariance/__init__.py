"""View invariance: embeddings that stay the same however a thing is looked at."""
