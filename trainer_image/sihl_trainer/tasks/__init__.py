"""The tasks: one folder each, what several share beside them, and the contracts that all keep."""
