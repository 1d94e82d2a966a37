"""Log-loss refinement of one softmax layer or several, from weights that are given."""
