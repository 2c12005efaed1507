"""Networks: one file a family, one registry."""
