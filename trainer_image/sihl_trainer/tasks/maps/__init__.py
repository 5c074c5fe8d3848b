"""What tasks share that are annotated or predicted pixel by pixel."""
