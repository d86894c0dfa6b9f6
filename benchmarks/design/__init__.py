"""Which noise is best for which data, and what it is worth: trained models of many designs on steep and flat data."""
