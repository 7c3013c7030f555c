"""Questions put to a trained model, each answered with numbers: what its attention does, and what depends on it."""
