"""Systems that give a sentence, or a pair of sentences, a label. Knows no text, no files and no training."""
