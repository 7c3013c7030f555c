"""Systems that read a source and write a target. Knows no text, no files and no training."""
