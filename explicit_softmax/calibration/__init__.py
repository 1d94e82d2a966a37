"""What exact leave-one-out chooses: temperatures, intercepts, smoothing, layers."""
