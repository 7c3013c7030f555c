"""A packed model in numpy, to be read: what the native engine is held against, and works where that is missing."""
