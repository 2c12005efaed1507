"""A module per job: parse, wire, run. The only place that knows argv, runners and the file layout of results."""
