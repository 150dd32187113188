"""`tokenworks demo`: two tenants, two pools on different hardware, real traffic, and what became of it."""
