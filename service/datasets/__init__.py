"""Data sets that searches can use: the built-in one, and registered ones that are read in place."""
