"""One kind of foreign model a file: what its settings mean here, and which weight is which."""
