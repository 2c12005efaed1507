"""Whole jobs as processes of their own, killed ones and several workers; `make test-jobs` runs them."""
