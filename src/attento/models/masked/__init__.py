"""Models that tell hidden tokens from those around them."""
