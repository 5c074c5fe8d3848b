"""Text recognition: one line of text for an image."""
