"""How fast a model translates, on which engine, and how far that is from what the processor can do."""
