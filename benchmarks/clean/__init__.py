"""Finding damage and removing it: false starts, what is found, and what is left."""
