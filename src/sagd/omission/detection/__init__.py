"""Finding a damaged band: windows, their spectrum, what sticks out of it, and how likely that is damage."""
