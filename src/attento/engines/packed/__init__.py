"""The packed model file: its records, its panels of weights, the small files inside. Needs no torch."""
