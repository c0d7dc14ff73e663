"""Contract tests of the seam over DBOS."""
