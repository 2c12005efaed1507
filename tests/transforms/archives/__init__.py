"""Tests of transforms/archives/."""
