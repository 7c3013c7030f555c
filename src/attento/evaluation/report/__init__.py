"""Findings in forms that a reader can take in: sections of words, tables and figures, as Markdown or as a page."""
