"""What a single column is: its unit, what its name says, and why it cannot be a feature."""
