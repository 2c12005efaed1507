"""Whole jobs executed by Flink: `make flink-execution`, with Beam's job server, which is not to be had everywhere."""
