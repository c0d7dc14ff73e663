"""The command line `edgewright`: thin words over the client, the server and the use cases."""
