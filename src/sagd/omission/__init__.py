"""A damaged band: found in a spectrum, restored with the model that left it out."""
