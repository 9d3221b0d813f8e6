"""Beyond training: speed comparisons with other libraries."""
