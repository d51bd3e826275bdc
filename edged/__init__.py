"""edged: keeps DICOM instances safe beside a modality, forwards them, and proves that the archive has them."""

__version__ = "0.1.0"
