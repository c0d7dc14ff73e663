"""Rows of the database, one table a file; class names end in Row."""
