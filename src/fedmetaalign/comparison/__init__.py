"""Comparisons of methods: equal budgets, tuned alike, over seeds, each run a cell that is kept on disk."""
