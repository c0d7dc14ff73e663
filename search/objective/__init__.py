"""What the architecture parameters are trained on beside the task loss."""
