"""Comparisons of methods: equal budgets, tuned alike, over seeds, each race a cell that is kept on disk."""
