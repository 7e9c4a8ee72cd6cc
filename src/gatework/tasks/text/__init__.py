"""What the text applications share."""
