"""When a row was measured: stamps read, rows put in order, and what periods the samples cover."""
