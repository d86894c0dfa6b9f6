"""Sound, weather, hearts, films and cubes: what models of them draw, and how far it is from the data."""
