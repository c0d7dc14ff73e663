"""The whole loop through real processes and real sockets."""
