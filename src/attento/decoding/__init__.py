"""Searches over a `step` callable: tokens and a state in, logits and a state out. Knows no model and no text."""
