"""Documents to tokens, windows, and their counts."""
