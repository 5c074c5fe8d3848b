"""The run record as the trainer writes and reads it: metrics, logs, checkpoints, the model."""
