"""Other methods that give every width, for comparison: each written from its paper, or called from its package."""
