"""Files that leave this machine: plans, profiles and tables as checksummed JSON."""
