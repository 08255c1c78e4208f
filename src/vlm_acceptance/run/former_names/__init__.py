"""Commands of the last release under their former names; each names the new one. To be removed with the next."""
