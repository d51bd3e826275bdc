"""The other ways in beside the origin server: serial line, watched folder, DIMSE. None exists yet."""
