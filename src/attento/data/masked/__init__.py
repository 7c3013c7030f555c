"""Running text with some of its tokens hidden, for models that tell them."""
