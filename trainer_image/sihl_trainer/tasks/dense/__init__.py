"""What tasks share that learn something at each point of a range of levels."""
