"""MMAU (ICLR 2025) and MMAU-Pro: exams that need expert knowledge of sounds, music and speech."""
