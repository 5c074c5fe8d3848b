"""PID 1 of the main container: prepares, starts the worker, records, stops, ends."""
