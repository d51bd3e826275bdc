"""DICOM as pure functions and push parsers: PS3.5 data sets and PS3.10 files.

What lives here reads an instance while it streams (`scanner`), turns it into its web exit (`converter`), names the
reasons for refusing it (`reasons`), and reads its attributes as text (`names`). pydicom is used here for dictionaries
and character sets. No I/O, no clock, nothing that grows with an instance; each parser raises one error of its own.
From the bottom: `vr`, `dictionary`, `frame`, `edits`, `nesting`, `runs`, `dataset`, `head`, `part10`, `scanner`.
"""
