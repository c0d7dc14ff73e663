"""Devices: enrolled once, then given work under leases."""
