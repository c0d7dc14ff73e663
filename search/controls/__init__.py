"""What a searched network has to beat: networks under the same budget that nobody searched."""
