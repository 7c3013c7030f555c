"""One process alone, or several that share each batch."""
