"""Archives read in place and by reference: nothing is extracted to a path, and names of members are data."""
