"""The systems of the story, one a file, behind the protocols of `base`. Knows no text, no files and no training."""
