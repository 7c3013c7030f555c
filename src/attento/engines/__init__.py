"""Engines turn source ids into hypotheses, each in its own way of computing. They know no text."""
