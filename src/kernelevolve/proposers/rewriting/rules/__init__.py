"""The source rewrites, by what they change."""
