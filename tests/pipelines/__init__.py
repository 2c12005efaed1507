"""Tests of the jobs and the command line."""
