"""The tasks: what each learns, predicts and is measured by."""
