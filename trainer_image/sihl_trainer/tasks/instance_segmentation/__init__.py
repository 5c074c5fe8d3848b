"""Instance segmentation: objects with categories and masks."""
