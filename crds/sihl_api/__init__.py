"""What a TrainingJob is: its tasks, spec, status, run record, and the contract inside its pod."""
