"""The search: archive, selection, operators, tuning, budget, and the loop that owns them."""
