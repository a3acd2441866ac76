"""One file per method; see drfm.methods.base for what a method is."""
