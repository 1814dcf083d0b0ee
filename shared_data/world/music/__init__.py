"""Music whose notes are known: single notes, short pieces and the players of a sound font."""
