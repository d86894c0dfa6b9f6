"""From configurations to objects, once. `schema` and `text` import nothing heavy."""
