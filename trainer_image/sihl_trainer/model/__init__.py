"""The network: backbone, neck, heads, and their weights on disk."""
