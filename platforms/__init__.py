"""The operator library on other machines: cross builds, emulation, wheels, older runtimes."""
