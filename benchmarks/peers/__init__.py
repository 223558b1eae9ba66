"""Other methods that give every width, for comparison: implemented from their papers, or called from their packages."""
