"""What people look at: the records of jobs, read, compared and drawn."""
