"""Parallel text: corpora, cleaning, shards, token-budget batches. Knows no model."""
