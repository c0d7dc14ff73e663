"""What a device is, what an operator costs on it, and how that is measured. No torch, no web."""
