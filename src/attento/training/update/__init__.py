"""One update: loss, its gradient, number formats, learning rate, optimizer."""
