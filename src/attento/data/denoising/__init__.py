"""Running text out of which spans are cut, for models that write them down."""
