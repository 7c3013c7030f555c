"""Systems that tell how probable a text is, token after token. Knows no text, no files and no training."""
