"""From raw text to ids and back."""
