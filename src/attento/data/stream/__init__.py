"""The running text of one language, for language models."""
