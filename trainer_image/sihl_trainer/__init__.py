"""What runs in a job's pod: fetches the dataset, trains, checkpoints, records."""
