"""Other people's formats: their models walk in, ours walk out. Knows no argv and no HTTP."""
