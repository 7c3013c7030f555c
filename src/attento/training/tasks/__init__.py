"""The kinds of work, translation, language modelling and classification: all that differs between them in training."""
