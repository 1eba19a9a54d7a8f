"""What a recipe for tables that nobody has described could be: devices, label, features, split, and why."""
