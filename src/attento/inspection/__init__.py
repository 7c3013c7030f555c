"""Looking inside a model while it works, and testing what was seen. Knows no argv and no HTTP."""
