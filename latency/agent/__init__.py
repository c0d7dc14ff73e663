"""The device agent: a process of its own that pulls work from the service, measures, reports."""
