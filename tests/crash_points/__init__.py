"""Jobs killed at every change that they make; `make crash-points` runs them, since they take minutes."""
