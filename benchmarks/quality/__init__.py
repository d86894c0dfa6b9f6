"""Does shaped noise help, where, and by how much: trained models of many arms, all else alike."""
