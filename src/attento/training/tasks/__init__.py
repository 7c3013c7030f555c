"""The kinds of work, such as translation or language modelling: all that differs between them in training."""
