"""What happens to an image, as pure functions, and the thin PTransforms over them (`*_beam`)."""
