"""Images on disk, data-set readers, and the seeded cross-resolution benchmark. No torch here."""
