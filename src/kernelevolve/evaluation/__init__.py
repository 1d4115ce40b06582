"""Gate, compile, check, measure: what is true of one candidate."""
