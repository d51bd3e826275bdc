"""What each DICOM service does, over the store; shared by the origin server, the other intakes and the upstream.

Here stands what an answer means and what it rests on; how a request is spelled on a wire is not known here.
"""
