"""Everything that talks to directories, and the local users behind the same interface."""
