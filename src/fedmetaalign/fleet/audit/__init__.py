"""What is wrong or trivial about data, before anything is trained on it."""
