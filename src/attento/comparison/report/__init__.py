"""The report: sections of words, tables and figures made of a comparison's records, and their three forms."""
