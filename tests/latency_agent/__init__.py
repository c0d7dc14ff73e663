"""Tests of the device agent: a fake server on a real socket, real agent processes."""
