"""`edgewright demo`: the whole loop once, on this machine, with everything that it prints measured."""
