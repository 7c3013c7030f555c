"""The words of the papers as modules and functions, one idea a file. Knows no text, no files and no settings."""
