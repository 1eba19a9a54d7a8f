"""Which class a row is of, and what the label is where nobody says."""
