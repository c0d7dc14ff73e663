"""Jobs: searches, profiles, verifications; their states, events and results."""
