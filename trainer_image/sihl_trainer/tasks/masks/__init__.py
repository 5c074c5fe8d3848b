"""What tasks share that tell objects from each other pixel by pixel."""
