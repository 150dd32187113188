"""What callers may use: limits and budgets, held before a request leaves and settled when it ends."""
