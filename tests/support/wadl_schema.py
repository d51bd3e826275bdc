"""Whether a document is WADL: the schema of the W3C submission of 31 August 2009, as xmllint checks it, and its prose.

What may live here: the call of xmllint (a Debian package, tools/debian-packages) and the few rules that the schema
cannot say. The schema and where it is from: `wadl/README.md`. Nothing is fetched: the catalog beside the schema leads
to what it imports.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

NAMESPACE = "{http://wadl.dev.java.net/2009/02}"

_FOLDER = Path(__file__).parent / "wadl"
_XMLLINT = ("xmllint", "--nonet", "--noout", "--schema", str(_FOLDER / "wadl.xsd"), "-")
_CATALOG = {"XML_CATALOG_FILES": (_FOLDER / "catalog.xml").as_uri()}  # a URI: the variable is split at spaces
_VALID, _NO_XML, _INVALID = 0, 1, 3


def breaches(document: bytes) -> list[str]:
    """Return every way in which a document is not WADL, an empty list for a good one."""
    result = subprocess.run(_XMLLINT, input=document, capture_output=True, env=os.environ | _CATALOG, check=False)
    told = result.stderr.decode().splitlines()
    assert result.returncode in {_VALID, _NO_XML, _INVALID}, told
    if result.returncode == _VALID:
        return [*_of_parameters(root := ElementTree.fromstring(document)), *_of_references(root)]
    return told


def _of_parameters(root: ElementTree.Element) -> Iterator[str]:
    """A parameter that is not a reference has a name and a style (2.12)."""
    for parameter in root.iter(f"{NAMESPACE}param"):
        if "href" not in parameter.attrib:
            yield from (f"param needs {attribute}" for attribute in {"name", "style"} - parameter.attrib.keys())


def _of_references(root: ElementTree.Element) -> Iterator[str]:
    """What is referred to within a document stands there."""
    named = {element.get("id") for element in root.iter()}
    for element in root.iter():
        reference = element.get("href", "")
        if reference.startswith("#") and reference[1:] not in named:
            yield f"{reference} leads nowhere"
